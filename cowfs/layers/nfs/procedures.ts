/** The procedures of NFSv3 that a live layer calls, by number (RFC 1813 section 3). */
export const procedures = {
  getattr: 1,
  setattr: 2,
  lookup: 3,
  readlink: 5,
  read: 6,
  write: 7,
  create: 8,
  mkdir: 9,
  symlink: 10,
  mknod: 11,
  remove: 12,
  rmdir: 13,
  rename: 14,
  link: 15,
  readdirplus: 17,
} as const;
