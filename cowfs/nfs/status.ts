/**
 * NFSv3 status codes (RFC 1813 section 2.6) and how the file system's errno names become them.
 *
 * EPERM and EACCES are kept apart, because programs in the guest tell them apart (tar, sudo, git), except where the
 * procedure's list of errors has no PERM.
 */
import type { Errno } from "../errors.ts";

export const Status = {
  ok: 0,
  perm: 1,
  noent: 2,
  io: 5,
  nxio: 6,
  acces: 13,
  exist: 17,
  xdev: 18,
  nodev: 19,
  notdir: 20,
  isdir: 21,
  inval: 22,
  fbig: 27,
  nospc: 28,
  rofs: 30,
  mlink: 31,
  nametoolong: 63,
  notempty: 66,
  dquot: 69,
  stale: 70,
  remote: 71,
  badhandle: 10001,
  notsync: 10002,
  badcookie: 10003,
  notsupp: 10004,
  toosmall: 10005,
  serverfault: 10006,
  badtype: 10007,
  jukebox: 10008,
} as const;

/** A refusal that the server itself decides. Instances are shared constants: a refusal costs no allocation. */
export class NfsError extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`NFS status ${status}`);
    this.status = status;
  }
}

export const staleHandle = new NfsError(Status.stale);
export const badHandle = new NfsError(Status.badhandle);
export const notSynchronized = new NfsError(Status.notsync);
export const badCookie = new NfsError(Status.badcookie);
export const tooSmall = new NfsError(Status.toosmall);
export const badType = new NfsError(Status.badtype);
export const invalid = new NfsError(Status.inval);
export const nameTooLong = new NfsError(Status.nametoolong);
export const fileTooBig = new NfsError(Status.fbig);
export const exists = new NfsError(Status.exist);
export const noEntry = new NfsError(Status.noent);

const statusOfErrno: Readonly<Record<Errno, number>> = {
  EPERM: Status.perm,
  ENOENT: Status.noent,
  EIO: Status.io,
  EACCES: Status.acces,
  EEXIST: Status.exist,
  EXDEV: Status.xdev,
  ENOTDIR: Status.notdir,
  EISDIR: Status.isdir,
  EINVAL: Status.inval,
  EFBIG: Status.fbig,
  ENOSPC: Status.nospc,
  EROFS: Status.rofs,
  EMLINK: Status.mlink,
  ENAMETOOLONG: Status.nametoolong,
  ENOTEMPTY: Status.notempty,
  EDQUOT: Status.dquot,
  ESTALE: Status.stale,
  // A path that does not end is refused as NFS servers do; there is no code of its own.
  ELOOP: Status.io,
  ENOTSUP: Status.notsupp,
  ENODATA: Status.noent,
  ERANGE: Status.inval,
};

/** Where a procedure's list of errors lacks a code, the nearest that it has (RFC 1813, each procedure's ERRORS). */
const exceptions: Readonly<Record<string, Partial<Record<Errno, number>>>> = {
  LOOKUP: { EPERM: Status.acces },
  ACCESS: { EPERM: Status.acces },
  READ: { EPERM: Status.acces, EISDIR: Status.inval },
  WRITE: { EISDIR: Status.inval },
  COMMIT: { EISDIR: Status.inval },
  READDIR: { EPERM: Status.acces },
  READDIRPLUS: { EPERM: Status.acces },
};

export function statusOf(procedureName: string, errno: Errno): number {
  return exceptions[procedureName]?.[errno] ?? statusOfErrno[errno] ?? Status.serverfault;
}
