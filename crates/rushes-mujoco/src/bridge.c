// MuJoCo's functions, found in its library when that is first needed, and views of its structures.
//
// Whatever can fail returns NULL for success, or a message that lives until this thread's next call. MuJoCo reports
// failures inside a simulation by a handler that must not return; ours jumps back to the call that it belongs to, as
// MuJoCo's own Python bindings do.
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <mujoco/mjdata.h>
#include <mujoco/mjmodel.h>

#define VERSION 3017000  // of the headers

static struct {
  int (*version)(void);
  void (*defaultVFS)(mjVFS*);
  int (*addBufferVFS)(mjVFS*, const char*, const void*, int);
  void (*deleteVFS)(mjVFS*);
  mjModel* (*loadXML)(const char*, const mjVFS*, char*, int);
  mjModel* (*loadModel)(const char*, const mjVFS*);
  void (*deleteModel)(mjModel*);
  mjData* (*makeData)(const mjModel*);
  mjData* (*copyData)(mjData*, const mjModel*, const mjData*);
  void (*deleteData)(mjData*);
  void (*resetData)(const mjModel*, mjData*);
  void (*forward)(const mjModel*, mjData*);
  void (*step)(const mjModel*, mjData*);
  void (*rnePostConstraint)(const mjModel*, mjData*);
  int (*name2id)(const mjModel*, int, const char*);
  const char* (*id2name)(const mjModel*, int, int);
  mjtSize (*sizeModel)(const mjModel*);
  void (*saveModel)(const mjModel*, const char*, void*, mjtSize);
} mj;

static _Thread_local char message[1024];
static _Thread_local jmp_buf* target;

static void on_error(const char* text) {
  snprintf(message, sizeof message, "%s", text);
  if (target) _longjmp(*target, 1);
}

// What MuJoCo warns of is counted in mjData; by default it would write a file into the current folder.
static void on_warning(const char* text) { (void)text; }

// Runs CALL and returns from the function with the message of an error inside it.
#define GUARDED(CALL)             \
  do {                            \
    jmp_buf here;                 \
    target = &here;               \
    if (_setjmp(here)) {          \
      target = NULL;              \
      return message;             \
    }                             \
    CALL;                         \
    target = NULL;                \
  } while (0)

// Opens the library; fails if it is another version than the headers.
const char* mjb_open(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(message, sizeof message, "%s", dlerror());
    return message;
  }
  const struct {
    const char* name;
    void* place;
  } functions[] = {
      {"mj_version", &mj.version},
      {"mj_defaultVFS", &mj.defaultVFS},
      {"mj_addBufferVFS", &mj.addBufferVFS},
      {"mj_deleteVFS", &mj.deleteVFS},
      {"mj_loadXML", &mj.loadXML},
      {"mj_loadModel", &mj.loadModel},
      {"mj_deleteModel", &mj.deleteModel},
      {"mj_makeData", &mj.makeData},
      {"mj_copyData", &mj.copyData},
      {"mj_deleteData", &mj.deleteData},
      {"mj_resetData", &mj.resetData},
      {"mj_forward", &mj.forward},
      {"mj_step", &mj.step},
      {"mj_rnePostConstraint", &mj.rnePostConstraint},
      {"mj_name2id", &mj.name2id},
      {"mj_id2name", &mj.id2name},
      {"mj_sizeModel", &mj.sizeModel},
      {"mj_saveModel", &mj.saveModel},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void* function = dlsym(library, functions[i].name);
    if (!function) {
      snprintf(message, sizeof message, "it has no function %s", functions[i].name);
      return message;
    }
    memcpy(functions[i].place, &function, sizeof function);
  }
  if (mj.version() != VERSION) {
    // Older versions write 3.2.7 as 327.
    int v = mj.version(), base = v < 1000000 ? 10 : 1000;
    snprintf(message, sizeof message, "it is MuJoCo %d.%d.%d", v / base / base, v / base % base, v % base);
    return message;
  }
  void (**error)(const char*) = dlsym(library, "mju_user_error");
  void (**warning)(const char*) = dlsym(library, "mju_user_warning");
  if (!error || !warning) return "it has no error handlers";
  *error = on_error;
  *warning = on_warning;
  return NULL;
}

// Compiles the XML text, or the file at `path` where there is no text.
const char* mjb_load(const char* path, const char* text, int length, mjModel** model) {
  char error[1000] = "";
  if (text) {
    mjVFS files;
    mj.defaultVFS(&files);
    GUARDED(mj.addBufferVFS(&files, path, text, length));
    GUARDED(*model = mj.loadXML(path, &files, error, sizeof error));
    mj.deleteVFS(&files);
  } else {
    GUARDED(*model = mj.loadXML(path, NULL, error, sizeof error));
  }
  if (*model) return NULL;
  snprintf(message, sizeof message, "%s", error);
  return message;
}

// Reads the file at `path`, a model in MuJoCo's binary form.
const char* mjb_load_binary(const char* path, mjModel** model) {
  GUARDED(*model = mj.loadModel(path, NULL));
  if (*model) return NULL;
  snprintf(message, sizeof message, "%s cannot be read as a model of this MuJoCo in its binary form", path);
  return message;
}

void mjb_delete_model(mjModel* model) { mj.deleteModel(model); }
void mjb_delete_data(mjData* data) { mj.deleteData(data); }

const char* mjb_make_data(const mjModel* model, mjData** data) {
  GUARDED(*data = mj.makeData(model));
  return *data ? NULL : "out of memory";
}

const char* mjb_copy_data(mjData* to, const mjModel* model, const mjData* from) {
  GUARDED(mj.copyData(to, model, from));
  return NULL;
}

const char* mjb_reset(const mjModel* model, mjData* data) {
  GUARDED(mj.resetData(model, data));
  return NULL;
}

const char* mjb_forward(const mjModel* model, mjData* data) {
  GUARDED(mj.forward(model, data));
  return NULL;
}

const char* mjb_step(const mjModel* model, mjData* data, int steps) {
  GUARDED(for (int i = 0; i < steps; i++) mj.step(model, data));
  return NULL;
}

const char* mjb_rne_post_constraint(const mjModel* model, mjData* data) {
  GUARDED(mj.rnePostConstraint(model, data));
  return NULL;
}

int mjb_id(const mjModel* model, int kind, const char* name) { return mj.name2id(model, kind, name); }
const char* mjb_name(const mjModel* model, int kind, int id) { return mj.id2name(model, kind, id); }

int mjb_bodies(const mjModel* m) { return (int)m->nbody; }
int mjb_joints(const mjModel* m) { return (int)m->njnt; }

// Its type, and the first of its numbers in qpos and in qvel.
void mjb_joint(const mjModel* m, int i, int joint[3]) {
  joint[0] = m->jnt_type[i];
  joint[1] = m->jnt_qposadr[i];
  joint[2] = m->jnt_dofadr[i];
}

int mjb_actuators(const mjModel* m) { return (int)m->nu; }

// The joint that an actuator moves, or -1.
int mjb_actuated_joint(const mjModel* m, int i) {
  return m->actuator_trntype[i] == mjTRN_JOINT ? m->actuator_trnid[2 * i] : -1;
}

// MuJoCo's binary form of a model, meshes and textures included.
size_t mjb_size(const mjModel* m) { return (size_t)mj.sizeModel(m); }
const char* mjb_save(const mjModel* m, void* buffer, size_t size) {
  GUARDED(mj.saveModel(m, NULL, buffer, (mjtSize)size));
  return NULL;
}

double mjb_timestep(const mjModel* model) { return model->opt.timestep; }

// Which warnings were raised since the last reset, as bits.
unsigned mjb_warnings(const mjData* data) {
  unsigned raised = 0;
  for (int i = 0; i < mjNWARNING; i++) raised |= (unsigned)(data->warning[i].number > 0) << i;
  return raised;
}

// An array of a model or its data, in the order of the Rust side's `Numbers`.
double* mjb_numbers(const mjModel* m, const mjData* d, int which, size_t* length) {
#define NUMBERS(CASE, ARRAY, LENGTH) \
  case CASE:                         \
    *length = (size_t)(LENGTH);      \
    return ARRAY;
  switch (which) {
    NUMBERS(0, d->qpos, m->nq)
    NUMBERS(1, d->qvel, m->nv)
    NUMBERS(2, d->ctrl, m->nu)
    NUMBERS(3, d->xpos, 3 * m->nbody)
    NUMBERS(4, d->xipos, 3 * m->nbody)
    NUMBERS(5, d->site_xpos, 3 * m->nsite)
    NUMBERS(6, d->cinert, 10 * m->nbody)
    NUMBERS(7, d->cvel, 6 * m->nbody)
    NUMBERS(8, d->cfrc_ext, 6 * m->nbody)
    NUMBERS(9, d->qfrc_actuator, m->nv)
    NUMBERS(10, d->qfrc_constraint, m->nv)
    NUMBERS(11, d->ten_length, m->ntendon)
    NUMBERS(12, d->ten_velocity, m->ntendon)
    NUMBERS(13, d->geom_xpos, 3 * m->ngeom)
    NUMBERS(14, d->geom_xmat, 9 * m->ngeom)
    NUMBERS(15, d->cam_xpos, 3 * m->ncam)
    NUMBERS(16, d->cam_xmat, 9 * m->ncam)
    NUMBERS(17, m->cam_fovy, m->ncam)
    NUMBERS(18, m->body_mass, m->nbody)
    NUMBERS(19, m->actuator_ctrlrange, 2 * m->nu)
    NUMBERS(20, d->site_xmat, 9 * m->nsite)
  }
#undef NUMBERS
  *length = 0;
  return NULL;
}

// What is known of a geom or a site before it has a place: the Rust side's `RawGeom`.
typedef struct {
  int32_t kind;
  int32_t group;
  int32_t body;
  int32_t data;
  float size[3];
  float radius;
  float rgba[4];
  int32_t texture;
  float repeat[2];
  float reflectance;
} Geom;

// The colour of something: its own, or its material's where it has none; grey is what nothing was said of.
static void color(const mjModel* m, const float own[4], int material, float rgba[4]) {
  const int plain = own[0] == 0.5f && own[1] == 0.5f && own[2] == 0.5f && own[3] == 1.0f;
  memcpy(rgba, material >= 0 && plain ? m->mat_rgba + 4 * material : own, 4 * sizeof *rgba);
}

int mjb_geoms(const mjModel* m) { return (int)m->ngeom; }
int mjb_sites(const mjModel* m) { return (int)m->nsite; }
int mjb_tendons(const mjModel* m) { return (int)m->ntendon; }

void mjb_geom(const mjModel* m, int i, Geom* geom) {
  const int material = m->geom_matid[i];
  geom->kind = m->geom_type[i];
  geom->group = m->geom_group[i];
  geom->body = m->geom_bodyid[i];
  geom->data = m->geom_dataid[i];
  for (int k = 0; k < 3; k++) geom->size[k] = (float)m->geom_size[3 * i + k];
  geom->radius = (float)m->geom_rbound[i];
  color(m, m->geom_rgba + 4 * i, material, geom->rgba);
  // The texture of a material that gives the colour.
  geom->texture = material >= 0 ? m->mat_texid[mjNTEXROLE * material + mjTEXROLE_RGB] : -1;
  for (int k = 0; k < 2; k++) {
    // A texture is repeated so often over the whole side, or over a metre.
    const int each = material < 0 || m->mat_texuniform[material] || geom->size[k] <= 0.0f;
    const float repeat = material < 0 ? 1.0f : m->mat_texrepeat[2 * material + k];
    geom->repeat[k] = each ? repeat : repeat / (2.0f * geom->size[k]);
  }
  geom->reflectance = material < 0 ? 0.0f : m->mat_reflectance[material];
}

void mjb_site(const mjModel* m, int i, Geom* site) {
  float square = 0;
  site->kind = m->site_type[i];
  site->group = m->site_group[i];
  site->body = m->site_bodyid[i];
  site->data = -1;
  for (int k = 0; k < 3; k++) {
    site->size[k] = (float)m->site_size[3 * i + k];
    square += site->size[k] * site->size[k];
  }
  site->radius = site->kind == mjGEOM_SPHERE ? site->size[0] : sqrtf(square);
  color(m, m->site_rgba + 4 * i, m->site_matid[i], site->rgba);
  site->texture = -1;
  site->repeat[0] = site->repeat[1] = 1.0f;
  site->reflectance = 0.0f;
}

// A tendon's group, half its width, and its colour.
void mjb_tendon(const mjModel* m, int i, int* group, float* width, float rgba[4]) {
  *group = m->tendon_group[i];
  *width = (float)m->tendon_width[i];
  color(m, m->tendon_rgba + 4 * i, m->tendon_matid[i], rgba);
}

// The points of a tendon's path, 3 numbers each, and what each lies on: -2 is a pulley, where the path is interrupted.
void mjb_path(const mjData* d, int i, const double** points, const int** objects, size_t* length) {
  *points = d->wrap_xpos + 3 * d->ten_wrapadr[i];
  *objects = d->wrap_obj + d->ten_wrapadr[i];
  *length = (size_t)d->ten_wrapnum[i];
}

// A height field: half its sides, the height of what is 1 in its data and the depth of its base; its rows and columns.
void mjb_hfield(const mjModel* m, int i, double size[4], int* rows, int* columns, const float** data) {
  memcpy(size, m->hfield_size + 4 * i, 4 * sizeof *size);
  *rows = m->hfield_nrow[i];
  *columns = m->hfield_ncol[i];
  *data = m->hfield_data + m->hfield_adr[i];
}

// A texture's kind, rows, columns and channels, and its bytes, row by row.
const unsigned char* mjb_texture(const mjModel* m, int i, int texture[4]) {
  texture[0] = m->tex_type[i];
  texture[1] = m->tex_height[i];
  texture[2] = m->tex_width[i];
  texture[3] = m->tex_nchannel[i];
  return m->tex_data + m->tex_adr[i];
}

// The triangles of a mesh: corners of all vertices, and three indices of them a triangle.
void mjb_mesh(const mjModel* m, int i, const float** vertices, size_t* corners, const int** faces, size_t* indices) {
  *vertices = m->mesh_vert + 3 * m->mesh_vertadr[i];
  *corners = 3 * (size_t)m->mesh_vertnum[i];
  *faces = m->mesh_face + 3 * m->mesh_faceadr[i];
  *indices = 3 * (size_t)m->mesh_facenum[i];
}

// The free camera's view before anyone moved it: field of view, azimuth and elevation in degrees, extent of the model.
void mjb_view(const mjModel* m, double view[4]) {
  view[0] = m->vis.global.fovy;
  view[1] = m->vis.global.azimuth;
  view[2] = m->vis.global.elevation;
  view[3] = m->stat.extent;
}
