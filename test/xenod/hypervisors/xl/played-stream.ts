/** What xl sends for a guest: its own header, a configuration, and libxl's stream around libxc's. */
import { composeXlHeader } from "../../../../xenod/hypervisors/xl/image-stream.ts";

export interface PlayedStream {
  /** xl's own header, and the configuration. */
  readonly xl: Buffer;
  /** Of libxl's stream, what is sent while the guest runs; its memory is in it. */
  readonly live: Buffer;
  /** What follows once it has stopped. */
  readonly stopped: Buffer;
}

/** `lastBytes`: of memory that is sent once the guest has stopped. */
export function composeStream({ configuration = '{"type": "pvh"}', memory = "", lastBytes = 0 } = {}): PlayedStream {
  const xl = composeXlHeader();
  xl.writeUInt32LE(configuration.length, 44);
  const live = [
    Buffer.from("LibxlFmt\0\0\0\x02\0\0\0\0", "latin1"),
    composeRecord(1, ""),
    Buffer.alloc(40, 0xff),
    composeRecord(0x11, ""),
    composeRecord(1, `memory{${memory}}`),
  ];
  const stopped = [
    ...(lastBytes > 0 ? [composeRecord(1, ".".repeat(lastBytes))] : []),
    composeRecord(9, "tsc."),
    composeRecord(10, "hvm"),
    composeRecord(0, ""),
    composeRecord(2, "xenstore"),
    composeRecord(0, ""),
  ];
  return {
    xl: Buffer.concat([xl, Buffer.from(configuration)]),
    live: Buffer.concat(live),
    stopped: Buffer.concat(stopped),
  };
}

function composeRecord(type: number, body: string): Buffer {
  const bytes = Buffer.alloc(8 + Math.ceil(body.length / 8) * 8);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(body.length, 4);
  bytes.write(body, 8);
  return bytes;
}

/** The guest's memory, of a whole stream. */
export function findMemory(stream: Buffer): string {
  return /memory\{(.*?)\}/.exec(stream.toString("latin1"))![1]!;
}
