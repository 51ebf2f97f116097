/*
 * A load generator for NFSv3 on libnfs's asynchronous calls: one connection, `depth` lanes, each with one unit of work
 * under way at a time. Every reply is checked; the first that is wrong ends the program with exit code 1.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>

#define MAX_DEPTH 64
#define MAX_HANDLE 64
#define TRANSFER_BYTES (1024 * 1024)
#define BLOCK_BYTES 4096
/* Linux asks for 64 KiB to 1 MiB, by how far it reads ahead. */
#define READ_AHEAD_BYTES (64 * 1024)

struct handle {
  uint32_t length;
  char bytes[MAX_HANDLE];
};

struct load;

struct lane {
  struct load *load;
  /* The unit under way, counted from 0 over all lanes. */
  uint64_t unit;
  /* Scratch of the row. */
  struct handle handle;
  char name[64];
  uint64_t fileid, cookie, sum, count;
  cookieverf3 cookie_verifier;
  writeverf3 write_verifier;
  uint64_t offset;
  void (*then)(struct lane *);
};

struct load {
  struct rpc_context *rpc;
  struct handle root;
  /* What the test data holds; see make.c. */
  uint32_t names;
  uint64_t data_bytes, big_bytes;

  struct lane lanes[MAX_DEPTH];
  void (*start)(struct lane *);
  uint64_t limit, begun, done, bytes;
  double end_at;
  int active;
};

/* main.c: the engine */

/* Runs units from `start` on `depth` lanes, until `limit` of them (0: no limit) were begun or `seconds` (0: no end) are over. */
double run_units(struct load *load, int depth, void (*start)(struct lane *), uint64_t limit, double seconds);
/* Ends the lane's unit, which moved `bytes` of file data, and begins its next. */
void complete(struct lane *lane, uint64_t bytes);
/* Ends the program: what was expected, and what came. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Fails unless the call went through, with NFS3_OK at the start of its result. */
void *expect_ok(const char *what, struct rpc_context *rpc, int status, void *data);
/* Fails unless the request could be queued. */
void sent(const char *what, struct lane *lane, int result);
double now(void);

void keep_handle(struct handle *handle, const nfs_fh3 *from);
nfs_fh3 point_at(struct handle *handle);
/* The handle of a path below the root; waits for it. */
void find(struct load *load, const char *path, struct handle *handle);

/* make.c: the test data */

uint64_t word_of(uint64_t seed, uint64_t index);
/* Fills `buffer` with bytes `offset` and on of the file with this seed; both are multiples of 8. */
void fill(char *buffer, size_t length, uint64_t seed, uint64_t offset);
/* Fails unless the first and the last whole word of what was read are the file's. */
void expect_content(const char *what, const char *bytes, size_t length, uint64_t seed, uint64_t offset);
void name_file(char *name, uint32_t index);
uint32_t size_of_file(uint32_t index);
int make_data(const char *directory, uint32_t names, uint64_t data_bytes, uint64_t big_bytes);

enum { DATA_SEED = 1000001, BIG_SEED, CHMOD_SEED, WRITTEN_SEED };

/* reading.c, changing.c: the rows */

struct row {
  const char *name;
  void (*prepare)(struct load *load);
  void (*start)(struct lane *lane);
  /* Still measured. */
  void (*finish)(struct load *load);
  /* Not measured: checks what is there now, and takes it away. */
  void (*check)(struct load *load);
  /* Units: as many as this, or for as long as asked where 0. */
  uint64_t (*limit)(struct load *load);
};

extern const struct row reading_rows[], changing_rows[];

#endif
