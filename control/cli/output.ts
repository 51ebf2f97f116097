/**
 * What commands print: results on stdout (a table for people, `--json` for programs), progress and errors on stderr.
 *
 * Exit codes: 0 done; 1 an error, told on stderr; 2 wrong usage; 3 done in part (a deployment that failed on some
 * servers); 130 interrupted.
 */
import { styleText } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";

export const exitCodes = { error: 1, usage: 2, partial: 3, interrupted: 130 } as const;

export type Row = Readonly<Record<string, string | number | boolean | undefined>>;

/** One object or a list of rows, as JSON or as text. */
export function printResult(json: boolean, result: Row | readonly Row[]): void {
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else process.stdout.write(Array.isArray(result) ? formatTable(result) : formatFields(result as Row));
}

export function formatTable(rows: readonly Row[]): string {
  if (rows.length === 0) return "";
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const text = rows.map((row) => columns.map((column) => String(row[column] ?? "")));
  const numeric = columns.map((column) => rows.every((row) => typeof (row[column] ?? 0) === "number"));
  const widths = columns.map((column, index) => Math.max(column.length, ...text.map((row) => row[index].length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => (numeric[index] ? cell.padStart(widths[index]) : cell.padEnd(widths[index])))
      .join("  ")
      .trimEnd();
  return `${[columns.map((column) => column.toUpperCase()), ...text].map(line).join("\n")}\n`;
}

function formatFields(row: Row): string {
  const shown = Object.entries(row).filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join("");
}

export function formatBytes(bytes: number): string {
  if (bytes < 10_000) return `${bytes} B`;
  if (bytes < 10_000_000) return `${(bytes / 1000).toFixed(0)} kB`;
  return bytes < 10_000_000_000 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Progress of one job: one line that is rewritten on a terminal, a line every two seconds elsewhere. */
export function createProgress(): { show(text: string): void; end(): void } {
  const terminal = process.stderr.isTTY === true;
  let shownAt = 0;
  let open = false;
  return {
    show(text) {
      const now = Date.now();
      if (now - shownAt < (terminal ? 100 : 2000)) return;
      shownAt = now;
      open = terminal;
      process.stderr.write(terminal ? `\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}` : `${text}\n`);
    },
    end() {
      if (open) process.stderr.write("\r\x1b[K");
      open = false;
    },
  };
}

/** One clear line for what was expected to go wrong sometimes; the stack only for what was not. */
export function reportError(json: boolean, error: unknown): void {
  const known = error instanceof XenoError;
  const { code, message, hint } = known
    ? error
    : {
        code: "internal",
        message: error instanceof Error ? (error.stack ?? error.message) : String(error),
        hint: undefined,
      };
  if (json) process.stderr.write(`${JSON.stringify({ error: { code, message, hint } })}\n`);
  else {
    process.stderr.write(`${styleText("red", "xeno:")} ${message} [${code}]\n`);
    if (hint !== undefined) process.stderr.write(`      ${hint}\n`);
  }
}
