// The bridge between Rust and Box2D: plain C functions over one world each. `world.rs` is its only caller
// and documents what each function means.
//
// Every function returns null, or the message of what went wrong. Nothing throws across the border: a failed
// assertion inside the solver is an exception (b2AssertFailed), caught here. A world in which that happened
// has lost its invariants; it refuses every further call, and is abandoned instead of destroyed.

#include <Box2D/Box2D.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <vector>

namespace {

struct AssertionFailed {};

// The message of the last failure on this thread.
thread_local char g_message[256];

// What the solver took on this thread, once anybody has asked.
struct Stopwatch {
    bool running = false;
    double seconds = 0.0;

    template <typename Work>
    void time(Work work) {
        if (!running) return work();
        const auto start = std::chrono::steady_clock::now();
        work();
        seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
};

thread_local Stopwatch g_solver;

}  // namespace

void b2AssertFailed(const char* condition, const char* file, int line) {
    // Destructors that run while an exception is under way must not throw another.
    if (std::uncaught_exceptions() > 0) return;
    const char* slash = std::strrchr(file, '/');
    std::snprintf(g_message, sizeof g_message, "assertion `%s` failed at %s:%d", condition,
                  slash ? slash + 1 : file, line);
    throw AssertionFailed();
}

// The solver times its phases for a profile that nobody reads here.
b2Timer::b2Timer() {}
void b2Timer::Reset() {}
float32 b2Timer::GetMilliseconds() const { return 0.0f; }

extern "C" {

struct BridgeShape {
    int32_t kind;  // 0: polygon, 1: edge, 2: box
    // x and y alternating. An edge has two ends; a box is one pair, half its width and height.
    const float* vertices;
    size_t vertex_count;
    float density, friction, restitution;
    uint16_t category, mask;
    int32_t is_sensor;
};

struct BridgeJoint {
    uint32_t body_a, body_b;
    float anchor_a[2], anchor_b[2];
    float reference_angle, lower_angle, upper_angle, motor_speed, max_motor_torque;
};

struct BridgeState {
    float x, y, angle, cos, sin, vx, vy, omega;
    int32_t awake;
};

struct BridgePush {
    uint32_t body;
    int32_t kind;  // 0: force at the centre of mass, 1: torque, 2: impulse at a point
    float x, y, at_x, at_y;
};

struct BridgeMotor {
    uint32_t joint;
    float speed, max_torque;
};

struct BridgeContact {
    uint32_t body_a, body_b;
    int32_t begin;
};

struct BridgeRay {
    float fraction, x, y;
};

struct BridgeTick {
    float dt;
    int32_t velocity_iterations, position_iterations;
    const BridgePush* pushes;
    size_t push_count;
    const BridgeMotor* motors;
    size_t motor_count;
    const uint32_t* bodies;
    BridgeState* states;
    size_t body_count;
};

}  // extern "C"

namespace {

void* slot_pointer(uint32_t slot) { return reinterpret_cast<void*>(static_cast<uintptr_t>(slot)); }

uint32_t slot_of(const b2Body* body) {
    return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(body->GetUserData()));
}

// Things by number. A number is given out again after `remove`.
template <typename T>
struct Slots {
    std::vector<T*> things;
    std::vector<uint32_t> free;

    uint32_t reserve() {
        if (!free.empty()) return free.back();
        things.push_back(nullptr);
        free.push_back(static_cast<uint32_t>(things.size() - 1));
        return free.back();
    }
    // Fills the slot that `reserve` named.
    void put(T* thing) {
        things[free.back()] = thing;
        free.pop_back();
    }
    void remove(uint32_t slot) {
        things[slot] = nullptr;
        free.push_back(slot);
    }
    // The same numbers in a copy of the world.
    Slots in(const WorldCopy& places) const {
        Slots slots = *this;
        for (T*& thing : slots.things) thing = places.at(thing);
        return slots;
    }
    T* get(uint32_t slot) const {
        b2Assert(slot < things.size() && things[slot] != nullptr);
        return things[slot];
    }
};

class Listener : public b2ContactListener, public b2DestructionListener {
public:
    std::vector<BridgeContact> contacts;
    Slots<b2RevoluteJoint> joints;

    void BeginContact(b2Contact* contact) override { log(contact, 1); }
    void EndContact(b2Contact* contact) override { log(contact, 0); }
    // Called in the middle of a step: where numbers have run away, it ends there.
    void PostSolve(b2Contact*, const b2ContactImpulse* impulse) override {
        for (int32 i = 0; i < impulse->count; ++i) {
            b2Assert(b2IsValid(impulse->normalImpulses[i]));
        }
    }
    void SayGoodbye(b2Joint* joint) override {
        joints.remove(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(joint->GetUserData())));
    }
    void SayGoodbye(b2Fixture*) override {}

private:
    void log(b2Contact* contact, int32_t begin) {
        contacts.push_back({slot_of(contact->GetFixtureA()->GetBody()),
                            slot_of(contact->GetFixtureB()->GetBody()), begin});
    }
};

// The nearest fixture of a category along a ray.
class Nearest : public b2RayCastCallback {
public:
    uint16_t category;
    BridgeRay* ray;

    float32 ReportFixture(b2Fixture* fixture, const b2Vec2& point, const b2Vec2&,
                          float32 fraction) override {
        if ((fixture->GetFilterData().categoryBits & category) == 0) return -1.0f;
        *ray = {fraction, point.x, point.y};
        return fraction;
    }
};

}  // namespace

// The solver's tables, process-wide and the same for all worlds. Being the first part of a world, it is made before the others
// look into them, by one thread, and nobody writes to them later: so a world may go on on another thread than its own.
struct Tables {
    Tables() {
        static const b2BlockAllocator fills_its_table;
        static const bool registered = (b2Contact::InitializeRegisters(), b2Contact::s_initialized = true);
        (void)registered;
    }
};

struct BridgeWorld {
    Tables tables;
    b2World world;
    Listener listener;
    Slots<b2Body> bodies;
    bool broken = false;

    explicit BridgeWorld(const b2Vec2& gravity) : world(gravity) {
        world.SetContactListener(&listener);
        world.SetDestructionListener(&listener);
    }
};

namespace {

// Runs `work`, turning exceptions into the message that is returned.
template <typename Work>
const char* guarded(Work work) noexcept {
    try {
        work();
        return nullptr;
    } catch (const AssertionFailed&) {
        return g_message;
    } catch (const std::bad_alloc&) {
        return "out of memory";
    } catch (...) {
        return "an unknown exception";
    }
}

template <typename Work>
const char* guarded(BridgeWorld* world, Work work) noexcept {
    if (world->broken) return "the world is broken by an earlier failure";
    const char* message = guarded(work);
    world->broken = message != nullptr;
    return message;
}

BridgeState state_of(const b2Body* body) {
    const b2Transform& transform = body->GetTransform();
    const b2Vec2& velocity = body->GetLinearVelocity();
    return {transform.p.x,     transform.p.y, body->GetAngle(), transform.q.c,
            transform.q.s,     velocity.x,    velocity.y,       body->GetAngularVelocity(),
            body->IsAwake()};
}

}  // namespace

extern "C" {

const char* rushes_b2_new(float gravity_x, float gravity_y, BridgeWorld** out) {
    return guarded([&] { *out = new BridgeWorld(b2Vec2(gravity_x, gravity_y)); });
}

// A copy of a broken world is broken too, and empty.
const char* rushes_b2_copy(const BridgeWorld* from, BridgeWorld** out) {
    return guarded([&] {
        auto* copy = new BridgeWorld(from->world.GetGravity());
        copy->broken = from->broken;
        if (!from->broken) {
            const WorldCopy places(from->world, copy->world);
            copy->listener.contacts = from->listener.contacts;
            copy->listener.joints = from->listener.joints.in(places);
            copy->bodies = from->bodies.in(places);
        }
        *out = copy;
    });
}

void rushes_b2_free(BridgeWorld* world) {
    if (!world->broken) guarded([&] { delete world; });
}

const char* rushes_b2_body(BridgeWorld* world, int32_t dynamic, float x, float y, float angle,
                           uint32_t* out) {
    return guarded(world, [&] {
        b2BodyDef def;
        def.type = dynamic ? b2_dynamicBody : b2_staticBody;
        def.position.Set(x, y);
        def.angle = angle;
        *out = world->bodies.reserve();
        def.userData = slot_pointer(*out);
        world->bodies.put(world->world.CreateBody(&def));
    });
}

const char* rushes_b2_fixture(BridgeWorld* world, uint32_t body, const BridgeShape* shape) {
    return guarded(world, [&] {
        b2Vec2 vertices[b2_maxPolygonVertices];
        b2Assert(shape->vertex_count <= b2_maxPolygonVertices);
        for (size_t i = 0; i < shape->vertex_count; ++i) {
            vertices[i].Set(shape->vertices[2 * i], shape->vertices[2 * i + 1]);
            b2Assert(vertices[i].IsValid());
        }
        b2EdgeShape edge;
        b2PolygonShape polygon;
        b2FixtureDef def;
        switch (shape->kind) {
            case 1:
                b2Assert(shape->vertex_count == 2);
                edge.Set(vertices[0], vertices[1]);
                def.shape = &edge;
                break;
            case 2:
                b2Assert(shape->vertex_count == 1);
                polygon.SetAsBox(vertices[0].x, vertices[0].y);
                def.shape = &polygon;
                break;
            default:
                polygon.Set(vertices, static_cast<int32>(shape->vertex_count));
                def.shape = &polygon;
        }
        def.density = shape->density;
        def.friction = shape->friction;
        def.restitution = shape->restitution;
        def.filter.categoryBits = shape->category;
        def.filter.maskBits = shape->mask;
        def.isSensor = shape->is_sensor != 0;
        world->bodies.get(body)->CreateFixture(&def);
    });
}

const char* rushes_b2_joint(BridgeWorld* world, const BridgeJoint* joint, uint32_t* out) {
    return guarded(world, [&] {
        b2RevoluteJointDef def;
        def.bodyA = world->bodies.get(joint->body_a);
        def.bodyB = world->bodies.get(joint->body_b);
        def.localAnchorA.Set(joint->anchor_a[0], joint->anchor_a[1]);
        def.localAnchorB.Set(joint->anchor_b[0], joint->anchor_b[1]);
        def.referenceAngle = joint->reference_angle;
        def.enableLimit = true;
        def.lowerAngle = joint->lower_angle;
        def.upperAngle = joint->upper_angle;
        def.enableMotor = true;
        def.motorSpeed = joint->motor_speed;
        def.maxMotorTorque = joint->max_motor_torque;
        auto& joints = world->listener.joints;
        *out = joints.reserve();
        def.userData = slot_pointer(*out);
        joints.put(static_cast<b2RevoluteJoint*>(world->world.CreateJoint(&def)));
    });
}

const char* rushes_b2_destroy(BridgeWorld* world, uint32_t body) {
    return guarded(world, [&] {
        world->world.DestroyBody(world->bodies.get(body));
        world->bodies.remove(body);
    });
}

const char* rushes_b2_state(BridgeWorld* world, uint32_t body, BridgeState* out) {
    return guarded(world, [&] { *out = state_of(world->bodies.get(body)); });
}

const char* rushes_b2_tick(BridgeWorld* world, const BridgeTick* tick) {
    return guarded(world, [&] {
        for (size_t i = 0; i < tick->push_count; ++i) {
            const BridgePush& push = tick->pushes[i];
            b2Body* body = world->bodies.get(push.body);
            const b2Vec2 vector(push.x, push.y);
            switch (push.kind) {
                case 0: body->ApplyForceToCenter(vector, true); break;
                case 1: body->ApplyTorque(push.x, true); break;
                default: body->ApplyLinearImpulse(vector, b2Vec2(push.at_x, push.at_y), true);
            }
        }
        for (size_t i = 0; i < tick->motor_count; ++i) {
            const BridgeMotor& motor = tick->motors[i];
            b2RevoluteJoint* joint = world->listener.joints.get(motor.joint);
            joint->SetMotorSpeed(motor.speed);
            joint->SetMaxMotorTorque(motor.max_torque);
        }
        world->listener.contacts.clear();
        g_solver.time([&] {
            world->world.Step(tick->dt, tick->velocity_iterations, tick->position_iterations);
        });
        for (size_t i = 0; i < tick->body_count; ++i) {
            tick->states[i] = state_of(world->bodies.get(tick->bodies[i]));
        }
    });
}

// `offsets` are those of the rays' far ends, x and y alternating.
const char* rushes_b2_cast(BridgeWorld* world, uint32_t body, uint16_t category,
                           const double* offsets, BridgeRay* rays, size_t count) {
    return guarded(world, [&] {
        const b2Vec2 from = world->bodies.get(body)->GetPosition();
        Nearest nearest;
        nearest.category = category;
        for (size_t i = 0; i < count; ++i) {
            // Double precision, rounded once: as Python adds before it calls.
            const b2Vec2 to(static_cast<float>(from.x + offsets[2 * i]),
                            static_cast<float>(from.y + offsets[2 * i + 1]));
            rays[i] = {1.0f, to.x, to.y};
            nearest.ray = &rays[i];
            world->world.RayCast(&nearest, from, to);
        }
    });
}

double rushes_b2_solver_seconds() {
    const double seconds = g_solver.seconds;
    g_solver = {true, 0.0};
    return seconds;
}

// The contacts that began or ended in the last tick, in the solver's order.
size_t rushes_b2_contacts(const BridgeWorld* world, const BridgeContact** out) {
    *out = world->listener.contacts.data();
    return world->listener.contacts.size();
}

}  // extern "C"
