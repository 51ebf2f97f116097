/**
 * INIT: what the kernel and we agree on.
 *
 * Wanted: large requests; reads in parallel; directory pages with attributes; cached link targets; no OPEN, OPENDIR, FLUSH and
 * RELEASE requests, since we keep nothing about open files (each is answered ENOSYS once and never sent again, and the
 * kernel then keeps file pages and directory listings across opens); and the duty of clearing set-ID bits and file
 * capabilities on write, truncate and chown, which spares a GETXATTR on every write.
 *
 * Not wanted: the write-back cache. With it the kernel, not we, would own sizes and times, `flush` would promise less than
 * it says, and a full disk would be told to nobody; without it a write that returned is recorded.
 */
import { XenoError } from "../../errors.ts";
import type { Operation } from "../mount-context.ts";
import { Capability, majorVersion, maxDataBytes, maxDataPages, minorVersion } from "../protocol.ts";

const always =
  Capability.asyncRead |
  Capability.bigWrites |
  Capability.readdirplus |
  Capability.readdirplusAuto |
  Capability.asyncDirectIo |
  Capability.parallelDirectoryOperations |
  Capability.maxPages |
  Capability.handleKillPrivileges;
const whileNobodyElseWrites = Capability.noOpen | Capability.noOpenDirectory | Capability.cacheSymlinks;

/** Read-ahead and other requests nobody waits for, that the kernel sends at once; three quarters are "congested". */
const maxBackground = 64;

/** fuse_init_in, fuse_init_out. */
export const initialize: Operation = ({ reply, validSeconds }, request) => {
  const [major, minor] = [request.word(0), request.word(4)];
  if (major !== majorVersion || minor < minorVersion) {
    throw new XenoError(
      "fuse-too-old",
      `this kernel speaks FUSE ${major}.${minor}, not ${majorVersion}.${minorVersion}`,
      {
        hint: "use Linux 5.4 or later",
      },
    );
  }
  const wanted = always | (validSeconds > 0 ? whileNobodyElseWrites : 0);
  reply.word(majorVersion);
  reply.word(minorVersion);
  reply.word(maxDataBytes);
  reply.word(request.word(12) & wanted);
  reply.word(maxBackground | (((maxBackground * 3) / 4) << 16));
  reply.word(maxDataBytes);
  reply.word(1); // Times are exact to the nanosecond.
  reply.word(maxDataPages);
  reply.zeros(32);
};
