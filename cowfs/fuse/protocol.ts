/**
 * The numbers of the FUSE protocol, version 7.31 and what of the later ones is used here. Source: the kernel's
 * include/uapi/linux/fuse.h. Offsets are in 32-bit words from the start of a message: every field is aligned to 4 bytes.
 */

export const majorVersion = 7;
export const minorVersion = 31;

export const Opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  readdirplus: 44,
  rename2: 45,
} as const;

/** Capabilities of INIT. */
export const Capability = {
  asyncRead: 1 << 0,
  bigWrites: 1 << 5,
  readdirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  asyncDirectIo: 1 << 15,
  noOpen: 1 << 17,
  parallelDirectoryOperations: 1 << 18,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpenDirectory: 1 << 24,
  handleKillPrivileges: 1 << 28,
} as const;

/** The `valid` bits of SETATTR. */
export const SetAttribute = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  accessed: 1 << 4,
  modified: 1 << 5,
  accessedNow: 1 << 7,
  modifiedNow: 1 << 8,
  killSetIds: 1 << 11,
} as const;

/** Codes of notifications: the kernel forgets what it knows of an inode, or of all names (since 7.44, Linux 6.16). */
export const notifyInvalidateInode = 2;
export const notifyNewEpoch = 8;

export const writeKillsSetIds = 1 << 2;
export const renameNoReplace = 1 << 0;

/** The node that is the root, whatever its FileId. */
export const rootNode = 1;

export const requestHeaderBytes = 40;
export const replyHeaderBytes = 16;
export const pageBytes = 4096;

/**
 * The most that one READ or WRITE carries: the kernel's own limit (fs.fuse.max_pages_limit, 256 pages). Beyond 128 KiB it
 * gains little, but it costs nothing either: the buffers exist once per mount.
 */
export const maxDataPages = 256;
export const maxDataBytes = maxDataPages * pageBytes;
