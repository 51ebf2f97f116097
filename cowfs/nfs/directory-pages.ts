/**
 * Encoded directory pages, kept for as long as nothing in the file system changes: listing a large directory again is
 * then a copy. A file system that counts its changes (`changeCount`) gets this; one that cannot, does not.
 */
import type { FileSystem } from "../file-system.ts";
import type { DirectoryPages } from "./procedures/procedure.ts";

const maxKeptBytes = 16 * 1024 * 1024;
/** Not worth keeping: written again in no time. */
const minPageBytes = 2048;

export function createDirectoryPages(fileSystem: FileSystem): DirectoryPages {
  const pages = new Map<string, Buffer>();
  let keptBytes = 0;
  let changeCount: number | undefined;

  function isCurrent(): boolean {
    const current = fileSystem.changeCount;
    if (current === undefined) return false;
    if (current !== changeCount) {
      changeCount = current;
      pages.clear();
      keptBytes = 0;
    }
    return true;
  }

  return {
    find(key) {
      return isCurrent() ? pages.get(key) : undefined;
    },
    keep(key, page) {
      if (page.length < minPageBytes || !isCurrent() || keptBytes + page.length > maxKeptBytes) return;
      const copy = Buffer.allocUnsafeSlow(page.length);
      page.copy(copy);
      keptBytes += copy.length - (pages.get(key)?.length ?? 0);
      pages.set(key, copy);
    },
  };
}
