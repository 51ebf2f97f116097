import test from "ava";
import { SegmentTails } from "../../../cowfs/journals/segment-tails.ts";

test("a record that points at no bytes is nothing to catch up with", (t) => {
  const tails = new SegmentTails();
  tails.note(0, 0, 0);
  t.false(tails.has(0));
  tails.note(8, 4, 1);
  t.like(tails.next(0, 0), { position: 8, length: 4 });
  t.is(tails.next(0, 12), undefined);
});
