/** errno(3) names to the numbers of Linux (asm-generic/errno.h), which are what FUSE replies carry. */
import type { Errno } from "../errors.ts";

export const errnoNumbers: Readonly<Record<Errno | "EINTR" | "ENOSYS", number>> = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EACCES: 13,
  EEXIST: 17,
  EXDEV: 18,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  ENOTSUP: 95,
  ESTALE: 116,
  EDQUOT: 122,
};
