/** What a ledger is to do, in its plainest form. */
import type { Ledger } from "../../../control/ledger/ledger.ts";

export type Operation =
  | {
      readonly kind: "transfer";
      readonly id: string;
      readonly debit: string;
      readonly credit: string;
      readonly amount: number;
    }
  | { readonly kind: "hold"; readonly id: string; readonly debit: string; readonly amount: number }
  | {
      readonly kind: "post";
      readonly id: string;
      readonly hold: string;
      readonly credit: string;
      readonly amount: number;
    }
  | { readonly kind: "release"; readonly hold: string };

interface Hold {
  readonly debit: string;
  left: number;
  isOpen: boolean;
}

export class LedgerModel {
  readonly #posted = new Map([
    ["a", 0],
    ["b", 0],
    ["c", 0],
    ["outside", 0],
  ]);
  readonly #held = new Map<string, number>();
  readonly #holds = new Map<string, Hold>();
  readonly #made = new Map<string, string>();

  ask(ledger: Ledger, operation: Operation): Promise<unknown> {
    switch (operation.kind) {
      case "transfer":
        return ledger.transfer(operation);
      case "hold":
        return ledger.hold(operation);
      case "post":
        return ledger.post(operation);
      case "release":
        return ledger.release(operation.hold);
    }
  }

  /** `done`, or the code of the refusal. */
  apply(operation: Operation): string {
    const hold = this.#holds.get(operation.kind === "hold" ? "" : "hold" in operation ? operation.hold : "");
    if (operation.kind === "release") {
      if (hold === undefined) return "hold-unknown";
      this.#changeHeld(hold.debit, -hold.left);
      Object.assign(hold, { left: 0, isOpen: false });
      return "done";
    }
    if (operation.kind === "post" && hold === undefined) return "hold-unknown";
    const known = this.#made.get(operation.id);
    if (known !== undefined) return known === JSON.stringify(operation) ? "done" : "transfer-conflict";
    const refusal = this.#act(operation, hold);
    if (refusal !== undefined) return refusal;
    this.#made.set(operation.id, JSON.stringify(operation));
    return "done";
  }

  balances(): [number, number][] {
    return [...this.#posted].map(([account, posted]) => [posted, this.#held.get(account) ?? 0]);
  }

  #act(operation: Exclude<Operation, { kind: "release" }>, hold: Hold | undefined): string | undefined {
    const { amount } = operation;
    if (operation.kind === "post") {
      if (!hold!.isOpen) return "hold-closed";
      if (hold!.left < amount) return "hold-short";
      hold!.left -= amount;
      this.#changeHeld(hold!.debit, -amount);
      this.#move(hold!.debit, operation.credit, amount);
      return undefined;
    }
    const available = this.#posted.get(operation.debit)! - (this.#held.get(operation.debit) ?? 0);
    if (operation.debit !== "outside" && available < amount) return "funds-short";
    if (operation.kind === "transfer") {
      this.#move(operation.debit, operation.credit, amount);
    } else {
      this.#holds.set(operation.id, { debit: operation.debit, left: amount, isOpen: true });
      this.#changeHeld(operation.debit, amount);
    }
    return undefined;
  }

  #move(debit: string, credit: string, amount: number): void {
    this.#posted.set(debit, this.#posted.get(debit)! - amount);
    this.#posted.set(credit, this.#posted.get(credit)! + amount);
  }

  #changeHeld(account: string, change: number): void {
    this.#held.set(account, (this.#held.get(account) ?? 0) + change);
  }
}
