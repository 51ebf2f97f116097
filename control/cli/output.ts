/**
 * What commands print: results on stdout (a table for people, `--json` for programs), progress and errors on stderr.
 *
 * Exit codes: 0 done; 1 an error, told on stderr; 2 wrong usage; 3 done in part (a deployment that failed on some
 * servers); 130 interrupted before it was done.
 */
import { styleText } from "node:util";
import { type DescribedError, describeError } from "./describe-error.ts";

export const exitCodes = { error: 1, usage: 2, partial: 3, interrupted: 130 } as const;

/** `undefined` is left out of JSON and of one object's lines. */
export type Row = Readonly<Record<string, string | number | boolean | undefined>>;

/** One object or a list of rows, as JSON or as text. */
export function printResult(json: boolean, result: Row | readonly Row[]): void {
  if (json) printJson(result);
  else process.stdout.write(Array.isArray(result) ? formatTable(result) : formatFields(result as Row));
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** To whoever looks on, on stderr. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** What went wrong while the command goes on. */
export function tellTrouble(what: string, error: unknown): void {
  const { message, code } = describeError(error);
  tell(`${what}: ${message} [${code}]`);
}

export function formatTable(rows: readonly Row[]): string {
  if (rows.length === 0) return "";
  // A column that nobody has anything in says nothing.
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((column) =>
    rows.some((row) => row[column] !== undefined),
  );
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

/** One clear line for what was expected to go wrong sometimes; the stack only for what was not. */
export function reportError(json: boolean, error: unknown): void {
  printError(json, describeError(error));
}

export function printError(json: boolean, { code, message, hint }: DescribedError): void {
  if (json) tell(JSON.stringify({ error: { code, message, hint } }));
  else {
    tell(`${styleText("red", "xeno:", { stream: process.stderr })} ${message} [${code}]`);
    if (hint !== undefined) tell(`      ${hint}`);
  }
}
