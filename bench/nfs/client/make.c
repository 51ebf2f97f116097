/* The test data: words that their file and place determine, so that a reader can check them without a copy. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "load.h"

/* The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
uint64_t word_of(uint64_t seed, uint64_t index) {
  uint64_t z = (seed << 40) + index * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

void fill(char *buffer, size_t length, uint64_t seed, uint64_t offset) {
  for (size_t at = 0; at < length; at += 8) {
    uint64_t word = word_of(seed, (offset + at) / 8);
    memcpy(buffer + at, &word, 8);
  }
}

static void expect_word(const char *what, const char *bytes, uint64_t seed, uint64_t offset) {
  uint64_t word, wanted = word_of(seed, offset / 8);
  memcpy(&word, bytes, 8);
  if (word != wanted) fail("%s: wrong bytes at %llu of file %llu", what, (unsigned long long)offset, (unsigned long long)seed);
}

void expect_content(const char *what, const char *bytes, size_t length, uint64_t seed, uint64_t offset) {
  expect_word(what, bytes, seed, offset);
  expect_word(what, bytes + length - 8, seed, offset + length - 8);
}

void name_file(char *name, uint32_t index) { sprintf(name, "name-%05u.conf", index); }

/* 512 bytes to 8 KiB, as configuration files are. */
uint32_t size_of_file(uint32_t index) { return 512 + (index * 2654435761u >> 8) % 960 * 8; }

static void make_file(const char *path, uint64_t bytes, uint64_t seed) {
  static char buffer[TRANSFER_BYTES];
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) fail("%s: %s", path, strerror(errno));
  for (uint64_t offset = 0; offset < bytes; offset += sizeof buffer) {
    size_t part = bytes - offset < sizeof buffer ? bytes - offset : sizeof buffer;
    fill(buffer, part, seed, offset);
    if (write(file, buffer, part) != (ssize_t)part) fail("%s: %s", path, strerror(errno));
  }
  close(file);
}

int make_data(const char *directory, uint32_t names, uint64_t data_bytes, uint64_t big_bytes) {
  char path[4096], name[64];
  for (const char *const *made = (const char *const[]){"many", "work", NULL}; *made; made++) {
    snprintf(path, sizeof path, "%s/%s", directory, *made);
    if (mkdir(path, 0755) < 0) fail("%s: %s", path, strerror(errno));
  }
  for (uint32_t index = 0; index < names; index++) {
    name_file(name, index);
    snprintf(path, sizeof path, "%s/many/%s", directory, name);
    make_file(path, size_of_file(index), index);
  }
  snprintf(path, sizeof path, "%s/data", directory);
  make_file(path, data_bytes, DATA_SEED);
  snprintf(path, sizeof path, "%s/big", directory);
  make_file(path, big_bytes, BIG_SEED);
  snprintf(path, sizeof path, "%s/chmod", directory);
  make_file(path, big_bytes / 2, CHMOD_SEED);
  return 0;
}
