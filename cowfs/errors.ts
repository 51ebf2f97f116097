/**
 * The errors of every floor.
 *
 * Each has a stable `code` for programs, a message for people that says what happened to which object, and a `hint`
 * that says what to do next. Errors that a file system answers a client with carry a POSIX errno name as their code.
 */
export class XenoError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
  }
}

/** The errno names that the file system answers with (errno(3)); the protocol servers map them to their own numbers. */
export type Errno =
  | "EPERM"
  | "ENOENT"
  | "EIO"
  | "EACCES"
  | "EEXIST"
  | "EXDEV"
  | "ENOTDIR"
  | "EISDIR"
  | "EINVAL"
  | "EFBIG"
  | "ENOSPC"
  | "EROFS"
  | "EMLINK"
  | "ENAMETOOLONG"
  | "ENOTEMPTY"
  | "EDQUOT"
  | "ESTALE"
  | "ELOOP"
  | "ENOTSUP"
  | "ENODATA"
  | "ERANGE";

/**
 * A refusal that the client of a file system sees. Thrown often and on hot paths (every failed LOOKUP), so it captures
 * no stack: 0.2 µs instead of 5 µs.
 */
export class FileSystemError extends XenoError {
  declare readonly code: Errno;

  constructor(errno: Errno, message: string = errno) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(errno, message);
    Error.stackTraceLimit = limit;
  }
}
