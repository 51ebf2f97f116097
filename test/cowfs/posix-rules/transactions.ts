import { deepEqual, equal, throws } from "node:assert/strict";
import { FileSystemError } from "../../../cowfs/errors.ts";
import { type Rule, root } from "./world.ts";

const nothing = Buffer.alloc(0);

export const transactionRules: readonly Rule[] = [
  [
    "a reply is found again under its key, and only when the change was made",
    (w) => {
      const reply = Buffer.from("reply");
      deepEqual(
        w.fs.transact("a1", () => reply),
        Buffer.from("reply"),
      );
      reply.fill("!");
      deepEqual(w.fs.findReply("a1"), Buffer.from("reply"));
      equal(w.fs.findReply("a2"), undefined);
      throws(() =>
        w.fs.transact("a2", () => {
          throw new FileSystemError("EIO");
        }),
      );
      equal(w.fs.findReply("a2"), undefined);
    },
  ],
  [
    "what fails late takes everything before it back",
    async (w) => {
      const kept = w.file({ name: "kept", content: "abc" });
      const directory = w.directory({ name: "d" });
      w.file({ in: directory, name: "inside" });
      await w.takesBack("EIO", (fs) => {
        fs.write(root, kept, 1, Buffer.from("XYZ"));
        fs.setAttributes(root, kept, { mode: 0o600, size: 2 });
        fs.setExtendedAttribute(root, kept, "user.a", nothing, "any");
        fs.createFile(root, w.top, "new", {}, { kind: "guarded" });
        fs.rename(root, directory, "inside", w.top, "kept");
        fs.removeDirectory(root, w.top, "d");
        throw new FileSystemError("EIO");
      });
      equal(w.content(kept), "abc");
    },
  ],
  [
    "an unlinked file that comes back is whole",
    async (w) => {
      const file = w.file({ name: "f", content: "abc" });
      await w.takesBack("EIO", (fs) => {
        fs.removeFile(root, w.top, "f");
        throw new FileSystemError("EIO");
      });
      equal(w.content(w.find(w.top, "f")), "abc");
      equal(w.find(w.top, "f"), file);
    },
  ],
  [
    "flushing and syncing succeed, and keep the write verifier",
    async (w) => {
      const before = Buffer.from(w.fs.writeVerifier);
      w.file({ content: "abc" });
      w.fs.flush();
      await w.fs.sync();
      deepEqual(w.fs.writeVerifier, before);
      deepEqual([w.fs.lineage.length, w.fs.handleKey.length, w.fs.writeVerifier.length], [16, 32, 8]);
    },
  ],
  [
    "statistics are whole numbers that fit together",
    (w) => {
      const { totalBytes, freeBytes, availableBytes, totalFiles, freeFiles } = w.fs.statistics();
      equal([totalBytes, freeBytes, availableBytes, totalFiles, freeFiles].every(Number.isSafeInteger), true);
      equal(availableBytes <= freeBytes && freeBytes <= totalBytes && freeFiles <= totalFiles, true);
    },
  ],
];
