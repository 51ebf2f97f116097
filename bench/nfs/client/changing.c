/* Rows that change something. */
#include <unistd.h>
#include "load.h"

/* How many files `remove` removes: as many as the directory of names has. */
static struct handle work, written, big, mode;
static char block[BLOCK_BYTES], transfer[TRANSFER_BYTES];
static uint64_t made;

static void prepare_work(struct load *load) {
  find(load, "work", &work);
  fill(block, sizeof block, WRITTEN_SEED, 0);
}

static void name_work(struct lane *lane) { sprintf(lane->name, "work-%d-%llu", (int)getpid(), (unsigned long long)lane->unit); }

static void send_create(struct lane *lane, rpc_cb then) {
  CREATE3args args = {.where = {point_at(&work), lane->name}, .how = {.mode = GUARDED}};
  sattr3 *attributes = &args.how.createhow3_u.g_obj_attributes;
  attributes->mode.set_it = 1;
  attributes->mode.set_mode3_u.mode = 0644;
  sent("CREATE", lane, rpc_nfs3_create_async(lane->load->rpc, then, &args, lane));
}

static void take_created(struct lane *lane, struct rpc_context *rpc, int status, void *result) {
  CREATE3resok *ok = &((CREATE3res *)expect_ok("CREATE", rpc, status, result))->CREATE3res_u.resok;
  if (!ok->obj.handle_follows) fail("CREATE: no handle");
  keep_handle(&lane->handle, &ok->obj.post_op_fh3_u.handle);
}

/* CREATE, WRITE of 4 KiB, COMMIT */

static void committed(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  COMMIT3resok *ok = &((COMMIT3res *)expect_ok("COMMIT", rpc, status, result))->COMMIT3res_u.resok;
  if (memcmp(ok->verf, lane->write_verifier, sizeof ok->verf)) fail("COMMIT: another verifier: the data was lost");
  complete(lane, 0);
}

static void send_commit(struct lane *lane, struct handle *handle) {
  COMMIT3args args = {.file = point_at(handle)};
  sent("COMMIT", lane, rpc_nfs3_commit_async(lane->load->rpc, committed, &args, lane));
}

static void take_written(struct lane *lane, struct rpc_context *rpc, int status, void *result, uint32_t wanted) {
  WRITE3resok *ok = &((WRITE3res *)expect_ok("WRITE", rpc, status, result))->WRITE3res_u.resok;
  if (ok->count != wanted) fail("WRITE: %u bytes instead of %u", ok->count, wanted);
  memcpy(lane->write_verifier, ok->verf, sizeof lane->write_verifier);
}

static void block_written(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  take_written(lane, rpc, status, result, sizeof block);
  send_commit(lane, &lane->handle);
}

static void send_write(struct lane *lane, struct handle *handle, char *bytes, uint32_t length, rpc_cb then) {
  WRITE3args args = {point_at(handle), lane->offset, length, UNSTABLE, {length, bytes}};
  sent("WRITE", lane, rpc_nfs3_write_async(lane->load->rpc, then, &args, lane));
}

static void file_created(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  take_created(lane, rpc, status, result);
  lane->offset = 0;
  send_write(lane, &lane->handle, block, sizeof block, block_written);
}

static void create(struct lane *lane) {
  name_work(lane);
  send_create(lane, file_created);
}

/* REMOVE */

static void removed(struct rpc_context *rpc, int status, void *result, void *private) {
  expect_ok("REMOVE", rpc, status, result);
  complete(private, 0);
}

static void remove_one(struct lane *lane) {
  name_work(lane);
  REMOVE3args args = {{point_at(&work), lane->name}};
  sent("REMOVE", lane, rpc_nfs3_remove_async(lane->load->rpc, removed, &args, lane));
}

static void note_made(struct load *load) { made = load->done; }

static void remove_made(struct load *load) { run_units(load, 16, remove_one, made, 0); }

static void only_created(struct rpc_context *rpc, int status, void *result, void *private) {
  take_created(private, rpc, status, result);
  complete(private, 0);
}

static void only_create(struct lane *lane) {
  name_work(lane);
  send_create(lane, only_created);
}

static uint64_t limit_names(struct load *load) { return load->names; }

static void prepare_remove(struct load *load) {
  prepare_work(load);
  run_units(load, 16, only_create, load->names, 0);
}

/* WRITE of 1 MiB in sequence into a new file, and one COMMIT */

static void transfer_written(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  take_written(lane, rpc, status, result, sizeof transfer);
  memcpy(lane->load->lanes[0].write_verifier, lane->write_verifier, sizeof lane->write_verifier);
  complete(lane, sizeof transfer);
}

static void write_transfer(struct lane *lane) {
  lane->offset = lane->unit * sizeof transfer;
  send_write(lane, &written, transfer, sizeof transfer, transfer_written);
}

static void prepare_write(struct load *load) {
  prepare_work(load);
  fill(transfer, sizeof transfer, WRITTEN_SEED, 0);
  run_units(load, 1, only_create, 1, 0);
  written = load->lanes[0].handle;
}

static uint64_t limit_transfers(struct load *load) { return load->data_bytes / sizeof transfer; }

static void commit(struct lane *lane) { send_commit(lane, &written); }

static void commit_written(struct load *load) { run_units(load, 1, commit, 1, 0); }

static void read_back(struct rpc_context *rpc, int status, void *result, void *private) {
  READ3resok *ok = &((READ3res *)expect_ok("READ", rpc, status, result))->READ3res_u.resok;
  if (ok->count != sizeof transfer) fail("READ: %u bytes of what was written", ok->count);
  if (memcmp(ok->data.data_val, transfer, sizeof transfer)) fail("READ: not what was written");
  complete(private, 0);
}

static void read_transfer_back(struct lane *lane) {
  READ3args args = {point_at(&written), lane->unit * sizeof transfer, sizeof transfer};
  sent("READ", lane, rpc_nfs3_read_async(lane->load->rpc, read_back, &args, lane));
}

static void check_written(struct load *load) {
  run_units(load, 1, read_transfer_back, limit_transfers(load), 0);
  run_units(load, 1, remove_one, 1, 0);
}

/* The first change of a large file that lies in a lower layer */

static uint64_t one(struct load *load) {
  (void)load;
  return 1;
}

static void prepare_big(struct load *load) { find(load, "big", &big); }

static void four_written(struct rpc_context *rpc, int status, void *result, void *private) {
  take_written(private, rpc, status, result, 4);
  complete(private, 4);
}

static void write_four(struct lane *lane) {
  lane->offset = BLOCK_BYTES;
  send_write(lane, &big, "abcd", 4, four_written);
}

static void big_read(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  READ3resok *ok = &((READ3res *)expect_ok("READ", rpc, status, result))->READ3res_u.resok;
  const char *bytes = ok->data.data_val;
  if (ok->count != BLOCK_BYTES || ok->file_attributes.post_op_attr_u.attributes.size != lane->load->big_bytes)
    fail("READ: the large file has another size");
  if (lane->offset == BLOCK_BYTES) {
    if (memcmp(bytes, "abcd", 4)) fail("READ: not what was written");
    expect_content("READ", bytes + 8, BLOCK_BYTES - 8, BIG_SEED, lane->offset + 8);
  } else expect_content("READ", bytes, BLOCK_BYTES, BIG_SEED, lane->offset);
  complete(lane, 0);
}

static void read_big(struct lane *lane) {
  lane->offset = lane->unit < 3 ? lane->unit * BLOCK_BYTES : lane->load->big_bytes - BLOCK_BYTES;
  READ3args args = {point_at(&big), lane->offset, BLOCK_BYTES};
  sent("READ", lane, rpc_nfs3_read_async(lane->load->rpc, big_read, &args, lane));
}

static void check_big(struct load *load) { run_units(load, 1, read_big, 4, 0); }

static void prepare_mode(struct load *load) { find(load, "chmod", &mode); }

static void mode_changed(struct rpc_context *rpc, int status, void *result, void *private) {
  SETATTR3resok *ok = &((SETATTR3res *)expect_ok("SETATTR", rpc, status, result))->SETATTR3res_u.resok;
  if (ok->obj_wcc.after.attributes_follow && (ok->obj_wcc.after.post_op_attr_u.attributes.mode & 07777) != 0600)
    fail("SETATTR: another mode");
  complete(private, 0);
}

static void change_mode(struct lane *lane) {
  SETATTR3args args = {.object = point_at(&mode)};
  args.new_attributes.mode.set_it = 1;
  args.new_attributes.mode.set_mode3_u.mode = 0600;
  sent("SETATTR", lane, rpc_nfs3_setattr_async(lane->load->rpc, mode_changed, &args, lane));
}

const struct row changing_rows[] = {
    {.name = "seqwrite", .prepare = prepare_write, .start = write_transfer, .finish = commit_written,
     .check = check_written, .limit = limit_transfers},
    {.name = "create", .prepare = prepare_work, .start = create, .finish = note_made, .check = remove_made},
    {.name = "remove", .prepare = prepare_remove, .start = remove_one, .limit = limit_names},
    {.name = "write-lower", .prepare = prepare_big, .start = write_four, .check = check_big, .limit = one},
    {.name = "chmod-lower", .prepare = prepare_mode, .start = change_mode, .limit = one},
    {.name = NULL},
};
