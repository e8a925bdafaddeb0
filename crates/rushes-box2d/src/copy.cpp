// An exact copy of a world: it goes on as the original does, bit for bit.
//
// A world that is built anew from positions and velocities does not: the solver starts from the impulses of its
// last step, the tree of boxes has grown by what moved, and sums follow the order of lists. So every object is
// copied with all that it holds, private members too (the compiler is told to allow it), and then whatever points
// into the original is made to point to the same place of the copy. The solver compares no addresses.

#include <Box2D/Box2D.h>

#include <cstring>
#include <unordered_map>

namespace {

class WorldCopy {
public:
    WorldCopy(const b2World& from, b2World& to) : from(from), to(to) {
        // First all objects, then what they point to, since that may be any of them.
        for (const b2Body* body = from.m_bodyList; body; body = body->m_next) {
            copy(body);
            for (const b2Fixture* fixture = body->m_fixtureList; fixture; fixture = fixture->m_next) {
                copy_fixture(fixture);
            }
        }
        for (const b2Joint* joint = from.m_jointList; joint; joint = joint->m_next) {
            b2Assert(joint->m_type == e_revoluteJoint);
            copy(static_cast<const b2RevoluteJoint*>(joint));
        }
        for (const b2Contact* contact = from.m_contactManager.m_contactList; contact; contact = contact->m_next) {
            copy(contact);
        }
        for (b2Body* body = to.m_bodyList = at(from.m_bodyList); body; body = body->m_next) point(body);
        for (b2Joint* joint = to.m_jointList = at(from.m_jointList); joint; joint = joint->m_next) point(joint);
        b2ContactManager& contacts = to.m_contactManager;
        contacts.m_contactList = at(from.m_contactManager.m_contactList);
        for (b2Contact* contact = contacts.m_contactList; contact; contact = contact->m_next) point(contact);
        contacts.m_contactCount = from.m_contactManager.m_contactCount;
        copy_broad_phase(from.m_contactManager.m_broadPhase, contacts.m_broadPhase);

        to.m_flags = from.m_flags;
        to.m_bodyCount = from.m_bodyCount;
        to.m_jointCount = from.m_jointCount;
        to.m_gravity = from.m_gravity;
        to.m_allowSleep = from.m_allowSleep;
        to.m_inv_dt0 = from.m_inv_dt0;
        to.m_warmStarting = from.m_warmStarting;
        to.m_continuousPhysics = from.m_continuousPhysics;
        to.m_subStepping = from.m_subStepping;
        to.m_stepComplete = from.m_stepComplete;
    }

    // Where the copy of a thing is.
    template <typename T>
    T* at(T* original) const {
        return original ? static_cast<T*>(places.at(original)) : nullptr;
    }

private:
    const b2World& from;
    b2World& to;
    std::unordered_map<const void*, void*> places;

    template <typename T>
    T* copy(const T* original) {
        void* place = to.m_blockAllocator.Allocate(sizeof(T));
        std::memcpy(place, static_cast<const void*>(original), sizeof(T));
        places.emplace(original, place);
        return static_cast<T*>(place);
    }

    void copy_fixture(const b2Fixture* original) {
        b2Fixture* fixture = copy(original);
        fixture->m_shape = original->m_shape->Clone(&to.m_blockAllocator);
        const size_t size = original->m_shape->GetChildCount() * sizeof(b2FixtureProxy);
        fixture->m_proxies = static_cast<b2FixtureProxy*>(to.m_blockAllocator.Allocate(size));
        std::memcpy(fixture->m_proxies, original->m_proxies, size);
        for (int32 i = 0; i < fixture->m_proxyCount; ++i) fixture->m_proxies[i].fixture = fixture;
    }

    // The end of a joint or contact that lies in its copy as `edge` does in the original.
    b2JointEdge* at(b2JointEdge* edge) const {
        if (!edge) return nullptr;
        b2Joint* joint = at(edge->joint);
        return edge == &edge->joint->m_edgeA ? &joint->m_edgeA : &joint->m_edgeB;
    }
    b2ContactEdge* at(b2ContactEdge* edge) const {
        if (!edge) return nullptr;
        b2Contact* contact = at(edge->contact);
        return edge == &edge->contact->m_nodeA ? &contact->m_nodeA : &contact->m_nodeB;
    }
    template <typename Edge>
    void point_edge(Edge& edge) {
        edge.other = at(edge.other);
        edge.prev = at(edge.prev);
        edge.next = at(edge.next);
    }

    void point(b2Body* body) {
        body->m_world = &to;
        body->m_prev = at(body->m_prev);
        body->m_next = at(body->m_next);
        body->m_jointList = at(body->m_jointList);
        body->m_contactList = at(body->m_contactList);
        body->m_fixtureList = at(body->m_fixtureList);
        for (b2Fixture* fixture = body->m_fixtureList; fixture; fixture = fixture->m_next) {
            fixture->m_body = body;
            fixture->m_next = at(fixture->m_next);
        }
    }

    void point(b2Joint* joint) {
        joint->m_prev = at(joint->m_prev);
        joint->m_next = at(joint->m_next);
        joint->m_bodyA = at(joint->m_bodyA);
        joint->m_bodyB = at(joint->m_bodyB);
        for (b2JointEdge* edge : {&joint->m_edgeA, &joint->m_edgeB}) {
            point_edge(*edge);
            edge->joint = joint;
        }
    }

    void point(b2Contact* contact) {
        contact->m_prev = at(contact->m_prev);
        contact->m_next = at(contact->m_next);
        contact->m_fixtureA = at(contact->m_fixtureA);
        contact->m_fixtureB = at(contact->m_fixtureB);
        for (b2ContactEdge* edge : {&contact->m_nodeA, &contact->m_nodeB}) {
            point_edge(*edge);
            edge->contact = contact;
        }
    }

    template <typename T>
    static void copy_buffer(const T* original, int32 capacity, T*& buffer) {
        b2Free(buffer);
        buffer = static_cast<T*>(b2Alloc(capacity * sizeof(T)));
        std::memcpy(static_cast<void*>(buffer), original, capacity * sizeof(T));
    }

    void copy_broad_phase(const b2BroadPhase& original, b2BroadPhase& phase) {
        phase.m_proxyCount = original.m_proxyCount;
        phase.m_moveCapacity = original.m_moveCapacity;
        phase.m_moveCount = original.m_moveCount;
        copy_buffer(original.m_moveBuffer, original.m_moveCapacity, phase.m_moveBuffer);
        phase.m_pairCapacity = original.m_pairCapacity;
        phase.m_pairCount = original.m_pairCount;
        copy_buffer(original.m_pairBuffer, original.m_pairCapacity, phase.m_pairBuffer);
        phase.m_queryProxyId = original.m_queryProxyId;

        b2DynamicTree& tree = phase.m_tree;
        copy_buffer(original.m_tree.m_nodes, original.m_tree.m_nodeCapacity, tree.m_nodes);
        tree.m_root = original.m_tree.m_root;
        tree.m_nodeCount = original.m_tree.m_nodeCount;
        tree.m_nodeCapacity = original.m_tree.m_nodeCapacity;
        tree.m_freeList = original.m_tree.m_freeList;
        tree.m_path = original.m_tree.m_path;
        tree.m_insertionCount = original.m_tree.m_insertionCount;
        for (int32 i = 0; i < tree.m_nodeCapacity; ++i) {
            b2TreeNode& node = tree.m_nodes[i];
            // Only leaves in use have a proxy.
            const bool leaf = node.height == 0;
            const auto* proxy = static_cast<const b2FixtureProxy*>(node.userData);
            node.userData = leaf ? at(proxy->fixture)->m_proxies + (proxy - proxy->fixture->m_proxies) : nullptr;
        }
    }
};

}  // namespace
