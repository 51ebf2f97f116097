import type { ExecutionContext, TestFn } from "ava";

type Teardown = Pick<ExecutionContext, "teardown">;

/** Something slow to start that the tests of a file share: started before the first of them, taken down after the last. */
export function shareInFile<T>(test: TestFn, start: (t: Teardown) => Promise<T>): () => T {
  const teardowns: (() => unknown)[] = [];
  let shared: T;
  test.after.always(async () => {
    for (const teardown of teardowns.reverse()) await teardown();
  });
  test.before(async () => {
    shared = await start({ teardown: (fn) => void teardowns.push(fn) });
  });
  return () => shared;
}
