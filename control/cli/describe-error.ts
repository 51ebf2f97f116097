/** Errors as people and programs are told of them: a code, one line of what happened to what, and what to do next. */
import { XenoError } from "../../cowfs/errors.ts";

export interface DescribedError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** What the operating system refuses in so many words; anything else that is no XenoError is a defect of ours. */
const systemErrors: Readonly<Record<string, readonly [code: string, hint: string]>> = {
  ENOSPC: ["disk-full", "Make room on that disk, then run the same command again."],
  EDQUOT: ["disk-full", "Your quota is used up: make room, then run the same command again."],
  EACCES: ["not-permitted", "Run it with sudo, or as the user whose file it is."],
  EPERM: ["not-permitted", "Run it with sudo, or as the user whose file it is."],
  EROFS: ["not-permitted", "That disk is read-only: set XENO_HOME to another."],
  ENOENT: ["file-missing", "Check the spelling of the path."],
  ENOTDIR: ["file-missing", "Check the spelling of the path."],
  EEXIST: ["file-unusable", "Something else has that name: name another path, or remove it."],
  EISDIR: ["file-unusable", "Name a file, not a directory."],
  EMFILE: ["too-many-files", "Raise the limit: ulimit -n 65536."],
  EIO: ["disk-failed", "The disk does not read or write: look at the kernel's log."],
};

export function describeError(error: unknown): DescribedError {
  if (error instanceof XenoError) return { code: error.code, message: error.message, hint: error.hint };
  const { code, syscall, message, stack } = error as NodeJS.ErrnoException;
  const known = typeof syscall === "string" && code !== undefined ? systemErrors[code] : undefined;
  if (known !== undefined) return { code: known[0], message, hint: known[1] };
  return {
    code: "internal",
    message: error instanceof Error ? (stack ?? message) : String(error),
    hint: "This is a defect: please report it with the lines above.",
  };
}
