/** What the operations of one mount share. */
import type { Caller, FileId, FileSystem } from "../file-system.ts";
import type { KnownNodes } from "./nodes.ts";
import type { Reply } from "./reply.ts";
import type { Request } from "./request.ts";

export interface MountContext {
  readonly fileSystem: FileSystem;
  readonly nodes: KnownNodes;
  readonly reply: Reply;
  /** How long the kernel may believe a name or attributes without asking. */
  readonly validSeconds: number;
  /** Runs a change; the reply leaves only after what it recorded was flushed. */
  change(run: () => void): void;
  /** Makes the kernel ask for an inode's attributes again, where an operation changed more than its reply tells. */
  invalidateAttributes(id: FileId): void;
}

/** Fills `context.reply`, or throws: an error, or a Fault after which it is run again from the start. */
export type Operation = (context: MountContext, request: Request) => void;

/**
 * Every operation is done as root. The mount has `default_permissions`: the kernel has checked the caller already, with its
 * supplementary groups, capabilities and user namespace, none of which are in the request; and what it lets through on an
 * open descriptor must not be refused here because the mode has changed since. Ownership of what is made is set explicitly.
 */
export const kernel: Caller = { uid: 0, gid: 0, groups: [] };

export function idOf(context: MountContext, request: Request): FileId {
  return context.nodes.idOf(request.node);
}
