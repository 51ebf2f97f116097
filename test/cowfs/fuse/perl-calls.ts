/**
 * System calls that Node does not have, made by perl (`perl-base` is on every Debian) with this process's effective ids.
 * Descriptors that are passed are 3, 4, … in the call.
 */
import { spawnSync } from "node:child_process";
import os from "node:os";

const numbers = {
  x64: {
    mknodat: 259,
    linkat: 265,
    readlinkat: 267,
    utimensat: 280,
    setxattr: 188,
    getxattr: 191,
    listxattr: 194,
    removexattr: 197,
    pread64: 17,
    pwrite64: 18,
    ftruncate: 77,
  },
  arm64: {
    mknodat: 33,
    linkat: 37,
    readlinkat: 78,
    utimensat: 88,
    setxattr: 5,
    getxattr: 8,
    listxattr: 11,
    removexattr: 14,
    pread64: 67,
    pwrite64: 68,
    ftruncate: 46,
  },
} as const;

/** Strings and bytes are passed as hex, numbers as they are; a buffer to be filled (`~BYTES`) comes back on stdout. */
const program = `
chomp(my @words = <STDIN>);
my @slots = map { /^=(.*)/ ? $1 + 0 : /^~(.*)/ ? "\\0" x $1 : pack("H*", substr($_, 1)) } @words;
my ($at) = grep { $words[$_] =~ /^~/ } 0 .. $#words;
my $result = syscall($slots[0], @slots[1 .. $#slots]);
exit($! + 0) if $result == -1;
print substr($slots[$at], 0, $result) if defined $at;
`;

export class CallError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** A buffer of so many bytes for the call to fill. */
export interface Room {
  readonly room: number;
}

export function callKernel(
  name: keyof (typeof numbers)["x64"],
  args: readonly (number | bigint | string | Buffer | Room)[],
  descriptors: readonly number[],
): Buffer {
  const number = numbers[process.arch as "x64" | "arm64"][name];
  const words = [number, ...args].map((arg) => {
    if (typeof arg === "number" || typeof arg === "bigint") return `=${arg}`;
    if (typeof arg === "object" && "room" in arg) return `~${arg.room}`;
    return `:${Buffer.from(arg as string, "latin1").toString("hex")}`;
  });
  const stdio = ["pipe" as const, "pipe" as const, "pipe" as const, ...descriptors];
  const { status, stdout, stderr, error } = spawnSync("/usr/bin/perl", ["-e", program], {
    stdio,
    input: words.join("\n"),
  });
  if (error !== undefined) throw error;
  if (status !== 0) {
    const found = Object.entries(os.constants.errno).find(([, value]) => value === status);
    throw new CallError(found?.[0] ?? `exit ${status}: ${stderr}`);
  }
  return stdout;
}
