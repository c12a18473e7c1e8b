#include "../FakeCUDA/Fake.h"
#include "Parts.h"

// A code object manager that compiles nothing: its code objects are the text. It counts what is alive, and refuses what the
// real one refuses: actions by another release's numbers, data without a name, an architecture that is none.

typedef struct {
    int32_t kind;
    int32_t owners;
    size_t bytes;
    char *contents;
    int32_t isNamed;
} Data;

typedef struct {
    Data *data[4];
    size_t count;
} Set;

typedef struct {
    char architecture[64];
    int32_t contracts;
} Action;

static void version(size_t *major, size_t *minor) {
    *major = hip.comgr_major;
    *minor = 4;
}

static amd_comgr_status_t statusText(amd_comgr_status_t status, const char **text) {
    *text = status == 1 ? "ERROR" : "INVALID_ARGUMENT";
    return 0;
}

static amd_comgr_status_t createSet(ComgrHandle *set) {
    set->handle = (uint64_t)calloc(1, sizeof(Set));
    return 0;
}

static amd_comgr_status_t createAction(ComgrHandle *action) {
    Action *made = calloc(1, sizeof(Action));
    made->contracts = 1;
    action->handle = (uint64_t)made;
    return 0;
}

static amd_comgr_status_t createData(int32_t kind, ComgrHandle *data) {
    Data *made = calloc(1, sizeof(Data));
    made->kind = kind;
    made->owners = 1;
    data->handle = (uint64_t)made;
    return 0;
}

static amd_comgr_status_t releaseData(ComgrHandle handle) {
    Data *data = (Data *)handle.handle;
    if (--data->owners == 0) {
        free(data->contents);
        free(data);
    }
    return 0;
}

static amd_comgr_status_t destroySet(ComgrHandle handle) {
    Set *set = (Set *)handle.handle;
    for (size_t i = 0; i < set->count; i++) releaseData((ComgrHandle){(uint64_t)set->data[i]});
    free(set);
    return 0;
}

static amd_comgr_status_t destroyAction(ComgrHandle action) {
    free((void *)action.handle);
    return 0;
}

static amd_comgr_status_t setData(ComgrHandle handle, size_t bytes, const char *contents) {
    Data *data = (Data *)handle.handle;
    data->bytes = bytes;
    data->contents = malloc(bytes + 1);
    memcpy(data->contents, contents, bytes);
    data->contents[bytes] = 0;
    return 0;
}

static amd_comgr_status_t setName(ComgrHandle handle, const char *name) {
    ((Data *)handle.handle)->isNamed = name != NULL;
    return 0;
}

static amd_comgr_status_t add(ComgrHandle set, ComgrHandle data) {
    Set *to = (Set *)set.handle;
    if (to->count == 4) return 3;
    ((Data *)data.handle)->owners += 1;
    to->data[to->count++] = (Data *)data.handle;
    return 0;
}

static amd_comgr_status_t setArchitecture(ComgrHandle action, const char *name) {
    if (strncmp(name, "amdgcn-amd-amdhsa--gfx", 22) != 0) return 2;
    snprintf(((Action *)action.handle)->architecture, 64, "%s", name);
    return 0;
}

static amd_comgr_status_t setOptions(ComgrHandle action, const char **options, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i], "-ffp-contract=off") == 0) ((Action *)action.handle)->contracts = 0;
    return 0;
}

static amd_comgr_status_t setLogging(ComgrHandle action, _Bool value) { return action.handle && value ? 0 : 2; }

static void put(ComgrHandle set, int32_t kind, const char *contents, size_t bytes) {
    ComgrHandle data;
    createData(kind, &data);
    setData(data, bytes, contents);
    add(set, data);
    releaseData(data);
}

static amd_comgr_status_t act(int32_t kind, ComgrHandle action, ComgrHandle input, ComgrHandle result) {
    const Action *how = (const Action *)action.handle;
    Set *from = (Set *)input.handle;
    int32_t generate = hip.comgr_major >= 3 ? 4 : 6, link = hip.comgr_major >= 3 ? 7 : 9;
    if (!how->architecture[0] || from->count != 1 || !from->data[0]->isNamed) return 2;
    const Data *data = from->data[0];
    if (kind == generate && data->kind == AMD_COMGR_DATA_KIND_BC && !how->contracts) {
        if (hip.compile_log) {
            put(result, AMD_COMGR_DATA_KIND_LOG, hip.compile_log, strlen(hip.compile_log));
            return 1;
        }
        hip.compilations += 1;
        put(result, AMD_COMGR_DATA_KIND_RELOCATABLE, data->contents, data->bytes);
        return 0;
    }
    if (kind == link && data->kind == AMD_COMGR_DATA_KIND_RELOCATABLE) {
        put(result, AMD_COMGR_DATA_KIND_EXECUTABLE, data->contents, data->bytes + 1);
        return 0;
    }
    return 2;
}

static amd_comgr_status_t find(ComgrHandle set, int32_t kind, size_t index, ComgrHandle *data) {
    Set *in = (Set *)set.handle;
    for (size_t i = 0; i < in->count; i++) {
        if (in->data[i]->kind != kind || index-- != 0) continue;
        in->data[i]->owners += 1;
        data->handle = (uint64_t)in->data[i];
        return 0;
    }
    return 2;
}

static amd_comgr_status_t get(ComgrHandle handle, size_t *bytes, char *contents) {
    const Data *data = (const Data *)handle.handle;
    if (contents) memcpy(contents, data->contents, *bytes);
    *bytes = data->bytes;
    return 0;
}

static const FakeSymbol symbols[] = {
    {"amd_comgr_get_version", version},
    {"amd_comgr_status_string", statusText},
    {"amd_comgr_create_data_set", createSet},
    {"amd_comgr_destroy_data_set", destroySet},
    {"amd_comgr_create_action_info", createAction},
    {"amd_comgr_destroy_action_info", destroyAction},
    {"amd_comgr_create_data", createData},
    {"amd_comgr_release_data", releaseData},
    {"amd_comgr_set_data", setData},
    {"amd_comgr_set_data_name", setName},
    {"amd_comgr_data_set_add", add},
    {"amd_comgr_action_info_set_isa_name", setArchitecture},
    {"amd_comgr_action_info_set_option_list", setOptions},
    {"amd_comgr_action_info_set_logging", setLogging},
    {"amd_comgr_do_action", act},
    {"amd_comgr_action_data_get_data", find},
    {"amd_comgr_get_data", get},
};

void *fake_comgr_symbol(const char *name) {
    return fake_find(symbols, sizeof symbols / sizeof symbols[0], name);
}
