/**
 * The control plane's state: SQL through Kysely, in one SQLite file (node:sqlite). The SQL is kept to what PostgreSQL
 * takes as well: no upserts by rowid, no types but INTEGER (64 bits there), TEXT and REAL.
 *
 * A commit is on stable storage before it settles: the write-ahead log is synced at each (synchronous=FULL).
 */
import fs from "node:fs";
import path from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { Kysely, SqliteDialect } from "kysely";
import { XenoError } from "../../cowfs/errors.ts";

/** Another process may hold the file while it checkpoints its log. */
const busyMs = 5_000;
/** Queries of one shape are prepared once; there are some dozens of shapes. */
const maxStatements = 200;

/** Opens the database of `file`, which is created when it is missing, mode 0600. Throws `database-unusable`. */
export function openDatabase<Tables>(file: string): Kysely<Tables> {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    fs.closeSync(fs.openSync(file, "a", 0o600));
    const database = new DatabaseSync(file, { timeout: busyMs });
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    return new Kysely<Tables>({ dialect: new SqliteDialect({ database: adapt(database) }) });
  } catch (cause) {
    throw new XenoError("database-unusable", `cannot open the database ${file}: ${(cause as Error).message}`, {
      hint: "look at the disk, at the permissions, and whether the file is an SQLite database of ours",
      cause,
    });
  }
}

/** Kysely's SQLite dialect speaks to better-sqlite3, which needs a build; this is what it uses of it. */
function adapt(database: DatabaseSync) {
  const statements = new Map<string, StatementSync>();
  const prepare = (sql: string) => {
    const known = statements.get(sql);
    if (known !== undefined) return known;
    if (statements.size >= maxStatements) statements.clear();
    const statement = database.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  return {
    close: () => database.close(),
    prepare(sql: string) {
      // A transaction that begins to write when another process has written since it began to read would fail.
      const statement = prepare(sql === "begin" ? "begin immediate" : sql);
      return {
        reader: statement.columns().length > 0,
        all: (values: readonly unknown[]) => statement.all(...(values as SQLInputValue[])),
        run: (values: readonly unknown[]) => statement.run(...(values as SQLInputValue[])),
        iterate: (values: readonly unknown[]) => statement.iterate(...(values as SQLInputValue[])),
      };
    },
  };
}
