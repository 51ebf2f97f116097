import test from "ava";
import { CommitQueue } from "../../../control/database/commit-queue.ts";
import { Ledger } from "../../../control/ledger/ledger.ts";
import { formatMoney, parseMoney } from "../../../control/ledger/money.ts";
import fc from "../../property.ts";
import { LedgerModel, type Operation } from "./model.ts";
import { openScratch } from "./scratch.ts";

const amounts: readonly (readonly [string, number])[] = [
  ["0.00", 0],
  ["12.00", 12_000_000],
  ["12.50", 12_500_000],
  ["0.000001", 1],
];

for (const [text, micros] of amounts)
  test(`${text} is ${micros} millionths, and back`, (t) => {
    t.is(parseMoney(text), micros);
    t.is(formatMoney(micros), text);
  });

for (const text of ["", "-1", "1.", ".5", "1.0000001", "1e3", "1,5", "99999999999", "٣"])
  test(`"${text}" is no amount of money`, (t) => {
    t.throws(() => parseMoney(text), { code: "amount-invalid" });
  });

for (const amount of [0, -1, 1.5, Number.NaN, 2 ** 53, "1"] as number[])
  test(`an amount of ${JSON.stringify(amount)} is refused, and nothing is recorded`, async (t) => {
    await openScratch(async ({ ledger }) => {
      await ledger.openAccount("a");
      const asked = { id: "1", debit: "outside", credit: "a", amount };
      await t.throwsAsync(async () => await ledger.transfer(asked), { code: "amount-invalid" });
      t.deepEqual(await ledger.list({}), []);
    });
  });

test("a transfer that is asked for again is the same one, and another of its id is refused (L1)", async (t) => {
  await openScratch(async ({ ledger }) => {
    await ledger.openAccount("a");
    const asked = { id: "1", debit: "outside", credit: "a", amount: 5, note: { for: "paying in" } };
    const made = await ledger.transfer(asked);
    t.deepEqual(await ledger.transfer(asked), made);
    t.deepEqual(
      (await Promise.all([1, 2, 3].map(() => ledger.transfer(asked)))).map(({ sequence }) => sequence),
      [1, 1, 1],
    );
    await t.throwsAsync(ledger.transfer({ ...asked, amount: 6 }), { code: "transfer-conflict" });
    t.like(await ledger.balance("a"), { posted: 5, available: 5 });
  });
});

test("a transfer reads no more of a ledger that has many than of one that has few", async (t) => {
  await openScratch(async ({ database }) => {
    let most = 0;
    const counting = database.withPlugin({
      transformQuery: ({ node }) => node,
      async transformResult({ result }) {
        most = Math.max(most, result.rows.length);
        return result;
      },
    });
    const ledger = await Ledger.open(new CommitQueue(counting));
    await ledger.openAccount("a");
    for (let id = 1; id <= 20; id++) await ledger.transfer({ id: `${id}`, debit: "outside", credit: "a", amount: 1 });
    t.is(most, 1);
    t.is((await ledger.list({})).length, 20);
  });
});

test("what is held cannot be spent, is paid from in parts, and what is left returns (L3, L4)", async (t) => {
  await openScratch(async ({ ledger }) => {
    await ledger.openAccount("client");
    await ledger.openAccount("server");
    await ledger.transfer({ id: "in", debit: "outside", credit: "client", amount: 100 });
    await ledger.hold({ id: "order", debit: "client", amount: 70 });
    t.like(await ledger.balance("client"), { posted: 100, held: 70, available: 30 });
    await t.throwsAsync(ledger.transfer({ id: "out", debit: "client", credit: "server", amount: 31 }), {
      code: "funds-short",
    });
    await t.throwsAsync(ledger.hold({ id: "order 2", debit: "client", amount: 31 }), { code: "funds-short" });
    await ledger.post({ id: "charge 1", hold: "order", credit: "server", amount: 50, note: { cpuMs: 7 } });
    await t.throwsAsync(ledger.post({ id: "charge 2", hold: "order", credit: "server", amount: 21 }), {
      code: "hold-short",
    });
    await ledger.release("order");
    t.is(await ledger.release("order"), undefined);
    await t.throwsAsync(ledger.post({ id: "charge 3", hold: "order", credit: "server", amount: 1 }), {
      code: "hold-closed",
    });
    t.like(await ledger.balance("client"), { posted: 50, held: 0, available: 50 });
    t.like(await ledger.balance("server"), { posted: 50 });
    const audit = await ledger.list({ hold: "order" });
    t.deepEqual(
      audit.map(({ kind, amount }) => [kind, amount]),
      [
        ["hold", 70],
        ["post", 50],
        ["release", 20],
      ],
    );
    t.deepEqual(audit[1]!.note, { cpuMs: 7 });
  });
});

test("nobody takes the id of a release before it", async (t) => {
  await openScratch(async ({ ledger }) => {
    await ledger.openAccount("a");
    const asked = { id: "order/release", debit: "outside", credit: "a", amount: 1 };
    await t.throwsAsync(async () => await ledger.transfer(asked), { code: "transfer-invalid" });
  });
});

test("a unit of work that fails as a defect undoes only itself (C3)", async (t) => {
  await openScratch(async ({ ledger }) => {
    await ledger.openAccount("a");
    // A credit that is no text fails in the database, after the look at the funds.
    const broken = { id: "2", debit: "outside", credit: { not: "a text" } as unknown as string, amount: 1 };
    const outcomes = await Promise.allSettled([
      ledger.transfer({ id: "1", debit: "outside", credit: "a", amount: 1 }),
      ledger.transfer(broken),
      ledger.transfer({ id: "3", debit: "outside", credit: "a", amount: 1 }),
    ]);
    t.deepEqual(
      outcomes.map(({ status }) => status),
      ["fulfilled", "rejected", "fulfilled"],
    );
    t.like(await ledger.balance("a"), { posted: 2 });
    t.is((await ledger.list({})).length, 2);
  });
});

const name = fc.constantFrom("a", "b", "c");
const id = fc.integer({ min: 1, max: 12 }).map(String);
const amount = fc.integer({ min: 1, max: 40 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    kind: fc.constant("transfer" as const),
    id,
    debit: fc.oneof(name, fc.constant("outside")),
    credit: name,
    amount,
  }),
  fc.record({ kind: fc.constant("hold" as const), id, debit: name, amount }),
  fc.record({ kind: fc.constant("post" as const), id, hold: id, credit: name, amount }),
  fc.record({ kind: fc.constant("release" as const), hold: id }),
);

test("many at once do what they would do one after the other, and money is conserved (L1 to L4)", async (t) => {
  const batches = fc.array(fc.array(operation, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(batches, async (all) => {
      await openScratch(async ({ ledger }) => {
        const model = new LedgerModel();
        for (const account of ["a", "b", "c"]) await ledger.openAccount(account);
        for (const batch of all) {
          const outcomes = await Promise.allSettled(batch.map((each) => model.ask(ledger, each)));
          const codes = outcomes.map((outcome) => (outcome.status === "fulfilled" ? "done" : outcome.reason.code));
          t.deepEqual(
            codes,
            batch.map((each) => model.apply(each)),
          );
          const balances = await Promise.all(["a", "b", "c", "outside"].map((account) => ledger.balance(account)));
          t.deepEqual(
            balances.map(({ posted, held }) => [posted, held]),
            model.balances(),
          );
          t.is(
            balances.reduce((sum, { posted }) => sum + posted, 0),
            0,
          );
        }
      });
    }),
    { numRuns: 60 },
  );
});
