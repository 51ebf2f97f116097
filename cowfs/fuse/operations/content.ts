import { idOf, kernel, type Operation } from "../mount-context.ts";
import { writeKillsSetIds } from "../protocol.ts";
import { dropSetIds } from "./attributes.ts";

/** fuse_read_in. The bytes go from the file system straight into the reply. */
export const read: Operation = (context, request) => {
  const { reply } = context;
  const length = Math.min(request.word(16), reply.bytes.length - reply.length);
  const id = idOf(context, request);
  reply.length += context.fileSystem.read(kernel, id, request.offset(8), length, reply.bytes, reply.length);
};

/** fuse_write_in. The kernel has turned O_APPEND into an offset: it alone knows the size, being the only writer. */
export const write: Operation = (context, request) => {
  const id = idOf(context, request);
  const length = request.word(16);
  context.change(() => {
    context.fileSystem.write(kernel, id, request.offset(8), request.data(40, length));
    if ((request.word(20) & writeKillsSetIds) !== 0) dropSetIds(context, id);
  });
  context.reply.word(length);
  context.reply.word(0);
};
