/** Undoes what the tests of a file share, last first; all of it, also where one fails. Rejects with the first failure. */
export async function runTeardowns(teardowns: readonly (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const teardown of teardowns.toReversed())
    try {
      await teardown();
    } catch (error) {
      failures.push(error);
    }
  if (failures.length > 0) throw failures[0];
}
