/* Rows that change nothing. */
#include "load.h"

static struct handle many, data;
static struct handle *files;
static uint64_t *fileids;

/* A walk through the names that a server's caches cannot follow by nearness: steps of a number without a common divisor. */
static uint32_t pick(struct lane *lane) { return lane->unit * 7919 % lane->load->names; }

static void expect_attributes(const char *what, const fattr3 *attributes, uint32_t index) {
  if (attributes->type != NF3REG || attributes->size != size_of_file(index) || attributes->fileid != fileids[index])
    fail("%s: wrong attributes of file %u", what, index);
}

/* LOOKUP: of the first time the file's number and handle are kept, and expected from then on. */

static void looked_up(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  LOOKUP3resok *ok = &((LOOKUP3res *)expect_ok("LOOKUP", rpc, status, result))->LOOKUP3res_u.resok;
  uint32_t index = pick(lane);
  if (!ok->obj_attributes.attributes_follow) fail("LOOKUP: no attributes");
  const fattr3 *attributes = &ok->obj_attributes.post_op_attr_u.attributes;
  if (!files[index].length) {
    keep_handle(&files[index], &ok->object);
    fileids[index] = attributes->fileid;
  }
  expect_attributes("LOOKUP", attributes, index);
  if (ok->object.data.data_len != files[index].length ||
      memcmp(ok->object.data.data_val, files[index].bytes, files[index].length))
    fail("LOOKUP: another handle than before for file %u", index);
  if (lane->then) lane->then(lane);
  else complete(lane, 0);
}

static void send_lookup(struct lane *lane) {
  name_file(lane->name, pick(lane));
  LOOKUP3args args = {{point_at(&many), lane->name}};
  sent("LOOKUP", lane, rpc_nfs3_lookup_async(lane->load->rpc, looked_up, &args, lane));
}

static void look_up(struct lane *lane) {
  lane->then = NULL;
  send_lookup(lane);
}

static void prepare_names(struct load *load) {
  find(load, "many", &many);
  files = calloc(load->names, sizeof *files);
  fileids = calloc(load->names, sizeof *fileids);
  run_units(load, 16, look_up, load->names, 0);
}

/* GETATTR */

static void got_attributes(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  GETATTR3res *ok = expect_ok("GETATTR", rpc, status, result);
  expect_attributes("GETATTR", &ok->GETATTR3res_u.resok.obj_attributes, pick(lane));
  complete(lane, 0);
}

static void get_attributes(struct lane *lane) {
  GETATTR3args args = {point_at(&files[pick(lane)])};
  sent("GETATTR", lane, rpc_nfs3_getattr_async(lane->load->rpc, got_attributes, &args, lane));
}

/* READ of 4 KiB at random places of a large file, and of 64 KiB and 1 MiB in sequence */

static void read_transfer(struct lane *lane);

/* All is read once: what a server does at the first reading only is no part of the row. */
static void prepare_data(struct load *load) {
  find(load, "data", &data);
  run_units(load, 16, read_transfer, load->data_bytes / TRANSFER_BYTES, 0);
}

static void did_read(struct lane *lane, struct rpc_context *rpc, int status, void *result, uint32_t wanted) {
  READ3resok *ok = &((READ3res *)expect_ok("READ", rpc, status, result))->READ3res_u.resok;
  if (ok->count != wanted || ok->data.data_len != wanted) fail("READ: %u bytes instead of %u", ok->count, wanted);
  expect_content("READ", ok->data.data_val, wanted, DATA_SEED, lane->offset);
  complete(lane, wanted);
}

static void read_block_done(struct rpc_context *rpc, int status, void *result, void *private) {
  did_read(private, rpc, status, result, BLOCK_BYTES);
}

static void read_block(struct lane *lane) {
  lane->offset = word_of(7, lane->unit) % (lane->load->data_bytes / BLOCK_BYTES) * BLOCK_BYTES;
  READ3args args = {point_at(&data), lane->offset, BLOCK_BYTES};
  sent("READ", lane, rpc_nfs3_read_async(lane->load->rpc, read_block_done, &args, lane));
}

static void read_in_sequence(struct lane *lane, uint32_t bytes, rpc_cb then) {
  lane->offset = lane->unit % (lane->load->data_bytes / bytes) * bytes;
  READ3args args = {point_at(&data), lane->offset, bytes};
  sent("READ", lane, rpc_nfs3_read_async(lane->load->rpc, then, &args, lane));
}

static void read_ahead_done(struct rpc_context *rpc, int status, void *result, void *private) {
  did_read(private, rpc, status, result, READ_AHEAD_BYTES);
}

static void read_ahead(struct lane *lane) { read_in_sequence(lane, READ_AHEAD_BYTES, read_ahead_done); }

static void read_transfer_done(struct rpc_context *rpc, int status, void *result, void *private) {
  did_read(private, rpc, status, result, TRANSFER_BYTES);
}

static void read_transfer(struct lane *lane) { read_in_sequence(lane, TRANSFER_BYTES, read_transfer_done); }

/* The trace of opening and reading a small file: LOOKUP, ACCESS, READ of the whole */

static void trace_read(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  READ3resok *ok = &((READ3res *)expect_ok("READ", rpc, status, result))->READ3res_u.resok;
  uint32_t index = pick(lane), size = size_of_file(index);
  if (ok->count != size || ok->data.data_len != size || !ok->eof) fail("READ: not the whole of file %u", index);
  expect_content("READ", ok->data.data_val, size, index, 0);
  complete(lane, size);
}

static void trace_access(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  ACCESS3res *ok = expect_ok("ACCESS", rpc, status, result);
  if (!(ok->ACCESS3res_u.resok.access & ACCESS3_READ)) fail("ACCESS: no right to read");
  READ3args args = {point_at(&files[pick(lane)]), 0, 32 * 1024};
  sent("READ", lane, rpc_nfs3_read_async(rpc, trace_read, &args, lane));
}

static void trace_then(struct lane *lane) {
  ACCESS3args args = {point_at(&files[pick(lane)]), ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_EXECUTE};
  sent("ACCESS", lane, rpc_nfs3_access_async(lane->load->rpc, trace_access, &args, lane));
}

static void trace(struct lane *lane) {
  lane->then = trace_then;
  send_lookup(lane);
}

static void prepare_trace(struct load *load) {
  prepare_names(load);
  run_units(load, 16, trace, load->names, 0);
}

/* READDIRPLUS: a unit is the whole directory, in pages of 64 KiB */

static void list_page(struct lane *lane);

static void listed(struct rpc_context *rpc, int status, void *result, void *private) {
  struct lane *lane = private;
  READDIRPLUS3resok *ok = &((READDIRPLUS3res *)expect_ok("READDIRPLUS", rpc, status, result))->READDIRPLUS3res_u.resok;
  if (!ok->reply.entries && !ok->reply.eof) fail("READDIRPLUS: an empty page that is not the last");
  for (entryplus3 *entry = ok->reply.entries; entry; entry = entry->nextentry) {
    lane->cookie = entry->cookie;
    if (entry->name[0] == '.') continue;
    if (!entry->name_attributes.attributes_follow || !entry->name_handle.handle_follows)
      fail("READDIRPLUS: %s without attributes or handle", entry->name);
    lane->sum += strtoul(entry->name + strlen("name-"), NULL, 10);
    lane->count++;
  }
  if (!ok->reply.eof) {
    memcpy(lane->cookie_verifier, ok->cookieverf, sizeof lane->cookie_verifier);
    list_page(lane);
    return;
  }
  uint64_t names = lane->load->names;
  if (lane->count != names || lane->sum != names * (names - 1) / 2)
    fail("READDIRPLUS: %llu names, or the wrong ones", (unsigned long long)lane->count);
  complete(lane, 0);
}

static void list_page(struct lane *lane) {
  READDIRPLUS3args args = {.dir = point_at(&many), .cookie = lane->cookie, .dircount = 64 * 1024, .maxcount = 64 * 1024};
  memcpy(args.cookieverf, lane->cookie_verifier, sizeof args.cookieverf);
  sent("READDIRPLUS", lane, rpc_nfs3_readdirplus_async(lane->load->rpc, listed, &args, lane));
}

static void list(struct lane *lane) {
  lane->cookie = lane->sum = lane->count = 0;
  memset(lane->cookie_verifier, 0, sizeof lane->cookie_verifier);
  list_page(lane);
}

static void prepare_list(struct load *load) {
  find(load, "many", &many);
  run_units(load, 1, list, 1, 0);
}

const struct row reading_rows[] = {
    {.name = "getattr", .prepare = prepare_names, .start = get_attributes},
    {.name = "lookup", .prepare = prepare_names, .start = look_up},
    {.name = "read4k", .prepare = prepare_data, .start = read_block},
    {.name = "trace", .prepare = prepare_trace, .start = trace},
    {.name = "readdirplus", .prepare = prepare_list, .start = list},
    {.name = "read64k", .prepare = prepare_data, .start = read_ahead},
    {.name = "seqread", .prepare = prepare_data, .start = read_transfer},
    {.name = NULL},
};
