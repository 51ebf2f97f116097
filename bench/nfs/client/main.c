/*
 * load make DIRECTORY NAMES DATA-BYTES BIG-BYTES
 * load run HOST NFS-PORT MOUNT-PORT PATH ROW DEPTH SECONDS NAMES DATA-BYTES BIG-BYTES
 *
 * `run` prepares, prints `ready`, waits for a line on stdin, measures, and prints `UNITS BYTES SECONDS`; then it checks and
 * cleans up, and prints `checked`.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <time.h>
#include "load.h"

static const int patience_ms = 60000;

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  exit(1);
}

double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

void *expect_ok(const char *what, struct rpc_context *rpc, int status, void *data) {
  if (status != RPC_STATUS_SUCCESS) fail("%s: no answer (%s)", what, rpc_get_error(rpc));
  nfsstat3 result = *(nfsstat3 *)data;
  if (result != NFS3_OK) fail("%s: %s", what, nfsstat3_to_str(result));
  return data;
}

void sent(const char *what, struct lane *lane, int result) {
  if (result != 0) fail("%s: not sent (%s)", what, rpc_get_error(lane->load->rpc));
}

void keep_handle(struct handle *handle, const nfs_fh3 *from) {
  if (from->data.data_len == 0 || from->data.data_len > MAX_HANDLE) fail("a handle of %u bytes", from->data.data_len);
  handle->length = from->data.data_len;
  memcpy(handle->bytes, from->data.data_val, handle->length);
}

nfs_fh3 point_at(struct handle *handle) {
  nfs_fh3 pointer = {{handle->length, handle->bytes}};
  return pointer;
}

/* Sends and receives what can be, or waits. */
static void serve(struct rpc_context *rpc) {
  struct pollfd wanted = {.fd = rpc_get_fd(rpc), .events = rpc_which_events(rpc)};
  int count = poll(&wanted, 1, patience_ms);
  if (count < 0 && errno != EINTR) fail("poll: %s", strerror(errno));
  if (count == 0) fail("no reply within %d s", patience_ms / 1000);
  if (count > 0 && rpc_service(rpc, wanted.revents) < 0) fail("the connection broke: %s", rpc_get_error(rpc));
}

static void begin_next(struct lane *lane) {
  struct load *load = lane->load;
  int is_over = (load->limit && load->begun >= load->limit) || (load->end_at != 0 && now() >= load->end_at);
  if (is_over) {
    load->active--;
    return;
  }
  lane->unit = load->begun++;
  load->start(lane);
}

void complete(struct lane *lane, uint64_t bytes) {
  lane->load->done++;
  lane->load->bytes += bytes;
  begin_next(lane);
}

double run_units(struct load *load, int depth, void (*start)(struct lane *), uint64_t limit, double seconds) {
  double began = now();
  load->start = start;
  load->limit = limit;
  load->begun = load->done = load->bytes = 0;
  load->end_at = seconds == 0 ? 0 : began + seconds;
  load->active = depth;
  for (int index = 0; index < depth; index++) {
    load->lanes[index].load = load;
    begin_next(&load->lanes[index]);
  }
  while (load->active > 0) serve(load->rpc);
  return now() - began;
}

static void found(struct rpc_context *rpc, int status, void *data, void *private) {
  struct lane *lane = private;
  LOOKUP3res *result = expect_ok("LOOKUP", rpc, status, data);
  keep_handle(&lane->handle, &result->LOOKUP3res_u.resok.object);
  complete(lane, 0);
}

static void find_part(struct lane *lane) {
  LOOKUP3args args = {{point_at(&lane->handle), lane->name}};
  sent("LOOKUP", lane, rpc_nfs3_lookup_async(lane->load->rpc, found, &args, lane));
}

void find(struct load *load, const char *path, struct handle *handle) {
  struct lane *lane = &load->lanes[0];
  lane->handle = load->root;
  while (*path) {
    size_t length = strcspn(path, "/");
    snprintf(lane->name, sizeof lane->name, "%.*s", (int)length, path);
    run_units(load, 1, find_part, 1, 0);
    path += length + (path[length] == '/');
  }
  *handle = lane->handle;
}

static const struct row *find_row(const char *name) {
  for (const struct row *row = reading_rows; row->name; row++) if (!strcmp(row->name, name)) return row;
  for (const struct row *row = changing_rows; row->name; row++) if (!strcmp(row->name, name)) return row;
  fail("there is no row %s", name);
}

/* Connecting and mounting, each its own wait */

static int is_settled;

static void wait_for(struct rpc_context *rpc, const char *what, int result) {
  if (result != 0) fail("%s: %s", what, rpc_get_error(rpc));
  is_settled = 0;
  while (!is_settled) serve(rpc);
}

static void connected(struct rpc_context *rpc, int status, void *data, void *private) {
  (void)data;
  if (status != RPC_STATUS_SUCCESS) fail("cannot connect to the server (%s)", rpc_get_error(rpc));
  *(int *)private = 1;
}

static void mounted(struct rpc_context *rpc, int status, void *data, void *private) {
  struct load *load = private;
  if (status != RPC_STATUS_SUCCESS) fail("MNT: no answer (%s)", rpc_get_error(rpc));
  mountres3 *result = data;
  if (result->fhs_status != MNT3_OK) fail("MNT: status %d", result->fhs_status);
  fhandle3 *handle = &result->mountres3_u.mountinfo.fhandle;
  nfs_fh3 pointer = {{handle->fhandle3_len, handle->fhandle3_val}};
  keep_handle(&load->root, &pointer);
  is_settled = 1;
}

static struct rpc_context *connect_to(const char *host, int port, int program, int version) {
  struct rpc_context *rpc = rpc_init_context();
  if (!rpc) fail("no memory");
  wait_for(rpc, "connecting", rpc_connect_port_async(rpc, host, port, program, version, connected, &is_settled));
  return rpc;
}

static void mount_export(struct load *load, const char *host, int nfs_port, int mount_port, char *path) {
  struct rpc_context *rpc = connect_to(host, mount_port, MOUNT_PROGRAM, MOUNT_V3);
  wait_for(rpc, "MNT", rpc_mount3_mnt_async(rpc, mounted, path, load));
  rpc_destroy_context(rpc);
  load->rpc = connect_to(host, nfs_port, NFS_PROGRAM, NFS_V3);
}

static int run_row(struct load *load, const struct row *row, int depth, double seconds) {
  if (row->prepare) row->prepare(load);
  puts("ready");
  fflush(stdout);
  char line[16];
  if (!fgets(line, sizeof line, stdin)) return 1;
  uint64_t limit = row->limit ? row->limit(load) : 0;
  double began = now();
  run_units(load, depth, row->start, limit, limit ? 0 : seconds);
  uint64_t done = load->done, bytes = load->bytes;
  if (row->finish) row->finish(load);
  double took = now() - began;
  printf("%llu %llu %.9f\n", (unsigned long long)done, (unsigned long long)bytes, took);
  fflush(stdout);
  if (row->check) row->check(load);
  puts("checked");
  return 0;
}

int main(int count, char **words) {
  if (count == 6 && !strcmp(words[1], "make"))
    return make_data(words[2], atoi(words[3]), strtoull(words[4], NULL, 10), strtoull(words[5], NULL, 10));
  if (count != 12 || strcmp(words[1], "run")) fail("usage: see main.c");
  static struct load load;
  int depth = atoi(words[7]);
  if (depth < 1 || depth > MAX_DEPTH) fail("a depth of 1 to %d", MAX_DEPTH);
  load.names = atoi(words[9]);
  load.data_bytes = strtoull(words[10], NULL, 10);
  load.big_bytes = strtoull(words[11], NULL, 10);
  mount_export(&load, words[2], atoi(words[3]), atoi(words[4]), words[5]);
  return run_row(&load, find_row(words[6]), depth, atof(words[8]));
}
