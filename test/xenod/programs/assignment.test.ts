import test from "ava";
import { Errors } from "typebox/value";
import { AssignedProgram, composeAssignment, maxPrograms, readOutcome } from "../../../xenod/programs/assignment.ts";

const program = { id: "0b1c-1", entry: "bin/run", seconds: 60, outputBytes: 1000 };

test("a list of programs always has 4,096 bytes, and its end is marked", (t) => {
  for (const programs of [[], [program], [program, { ...program, id: "0b1c-2" }]]) {
    const text = composeAssignment(programs);
    t.is(Buffer.byteLength(text), 4096);
    t.is(text.trimEnd().split("\n").at(-1), "end");
  }
  t.is(composeAssignment([program]).trimEnd(), "xeno-programs 1\n0b1c-1 60 1000 bin/run\nend");
});

test("the longest programs that there may be have room, as many as there may be", (t) => {
  const longest = { id: "x".repeat(64), entry: "y".repeat(100), seconds: 31_536_000, outputBytes: 1_073_741_824 };
  t.deepEqual([...Errors(AssignedProgram, longest)], []);
  t.is(composeAssignment(Array.from({ length: maxPrograms }, () => longest)).length, 4096);
});

for (const [said, outcome] of [
  ["exited 0\n", { state: "exited", code: 0 }],
  ["exited 137\n", { state: "exited", code: 137 }],
  ["timeout\n", { state: "timeout" }],
  ["output\n", { state: "output" }],
  ["cancelled\n", { state: "cancelled" }],
  ["lost\n", { state: "lost" }],
  ["unusable\n", { state: "unusable" }],
  ["exited\n", { state: "unclear" }],
  ["exited 1234\n", { state: "unclear" }],
  ["timeout 3\n", { state: "unclear" }],
  ["exited 0", { state: "unclear" }],
  ["exited 0\nexited 1\n", { state: "unclear" }],
  ["constructor\n", { state: "unclear" }],
  ["\0\xff\n", { state: "unclear" }],
  ["", { state: "unclear" }],
] as const)
  test(`of a guest that says ${JSON.stringify(said)} a program is ${Object.values(outcome).join(" ")}`, (t) => {
    t.deepEqual(readOutcome(said), outcome);
  });

for (const wrong of [
  { id: "a b" },
  { id: "../a" },
  { id: "" },
  { entry: "/bin/sh" },
  { entry: "../run" },
  { entry: "a/../../b" },
  { entry: "run now" },
  { entry: "-x" },
  { entry: "a\nb" },
  { entry: "$(id)" },
  { seconds: 0 },
  { seconds: 1.5 },
  { outputBytes: -1 },
])
  test(`no program has ${JSON.stringify(wrong)}`, (t) => {
    t.true([...Errors(AssignedProgram, { ...program, ...wrong })].length > 0);
  });
