/**
 * The rules that every FileSystem keeps, errno for errno, in the chapters of pjdfstest: one table a chapter, one row a
 * rule. A refusal is only right when it also changed nothing, so `refuses` compares the whole tree before and after.
 */
import type { TestFn } from "ava";
import type { FileSystem } from "../../cowfs/file-system.ts";
import { accessRules } from "./posix-rules/access.ts";
import { chmodRules } from "./posix-rules/chmod.ts";
import { chownRules } from "./posix-rules/chown.ts";
import { contentRules } from "./posix-rules/content.ts";
import { createRules } from "./posix-rules/create.ts";
import { extendedRules } from "./posix-rules/extended.ts";
import { linkRules } from "./posix-rules/link.ts";
import { listRules } from "./posix-rules/list.ts";
import { renameRules } from "./posix-rules/rename.ts";
import { timeRules } from "./posix-rules/times.ts";
import { transactionRules } from "./posix-rules/transactions.ts";
import { unlinkRules } from "./posix-rules/unlink.ts";
import { type Reopen, type Rule, World } from "./posix-rules/world.ts";

export const chapters: Readonly<Record<string, readonly Rule[]>> = {
  access: accessRules,
  chmod: chmodRules,
  chown: chownRules,
  content: contentRules,
  create: createRules,
  extended: extendedRules,
  link: linkRules,
  list: listRules,
  rename: renameRules,
  times: timeRules,
  transactions: transactionRules,
  unlink: unlinkRules,
};

export interface SuiteOptions {
  /** For a file system that fails closed where a transaction fails late: closes it and opens what it left. */
  reopen?: Reopen;
  /** Closes what `open` and `reopen` gave. */
  close?: (fileSystem: FileSystem) => Promise<void>;
  /** Rules that this one is known not to keep, as `chapter: sentence`, and why. A limit that is none any more fails. */
  limits?: Readonly<Record<string, string>>;
}

/** `open` gives a fresh file system whose root is an empty directory of root's with mode 0755. */
export function declareFileSystemSuite(
  test: TestFn,
  name: string,
  open: () => Promise<FileSystem>,
  { reopen, close, limits = {} }: SuiteOptions = {},
): void {
  const unmet = new Set(Object.keys(limits));
  for (const [chapter, rules] of Object.entries(chapters)) {
    for (const [sentence, run] of rules) {
      const rule = `${chapter}: ${sentence}`;
      const isLimit = unmet.delete(rule);
      test(`${name}: ${isLimit ? "not kept: " : ""}${rule}`, async (t) => {
        const world = new World(await open(), reopen);
        t.teardown(() => close?.(world.fs));
        if (isLimit)
          await t.throwsAsync(async () => run(world), undefined, "this limit is gone: take it off its table");
        else await run(world);
        t.pass();
      });
    }
  }
  if (unmet.size > 0) throw new Error(`limits that name no rule: ${[...unmet].join("; ")}`);
}
