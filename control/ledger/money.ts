/** Money: integers of a millionth of the currency's unit, never fractions. 2^53 of them are nine billion units. */
import { XenoError } from "../../cowfs/errors.ts";

export type MicroUnits = number;

export const microsPerUnit = 1_000_000;

/** Throws `amount-invalid` unless it is a whole number from `least` to 2^53 - 1. */
export function requireAmount(amount: unknown, least = 1): MicroUnits {
  if (Number.isSafeInteger(amount) && (amount as number) >= least) return amount as number;
  throw new XenoError("amount-invalid", `${String(amount)} is no amount`, {
    hint: `amounts are whole numbers of a millionth of a unit, from ${least} on`,
  });
}

/** `12.5` for 12,500,000. */
export function formatMoney(micros: MicroUnits): string {
  const sign = micros < 0 ? "-" : "";
  const digits = String(Math.abs(micros)).padStart(7, "0");
  const fraction = digits.slice(-6).replace(/0+$/, "").padEnd(2, "0");
  return `${sign}${digits.slice(0, -6)}.${fraction}`;
}

/** `12.5` and `12` as micro-units. Throws `amount-invalid`. */
export function parseMoney(text: string): MicroUnits {
  const match = /^(\d{1,10})(?:\.(\d{1,6}))?$/.exec(text);
  if (match === null)
    throw new XenoError("amount-invalid", `"${text}" is no amount of money`, { hint: "write it as 12 or 12.50" });
  return requireAmount(Number(match[1]) * microsPerUnit + Number((match[2] ?? "").padEnd(6, "0")), 0);
}
