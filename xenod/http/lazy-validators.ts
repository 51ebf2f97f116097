/**
 * Checks of requests, compiled when the first request needs them. Ajv makes code of each schema, which takes 4 to 8 ms of processor
 * time: for all routes that was 0.37 s of each start of Xenod, and 0.25 s of its file server's.
 */
import { AjvCompiler } from "@fastify/ajv-compiler";

/** A function of Ajv's: false, and then its `errors`, or true. */
type Check = ((...words: unknown[]) => unknown) & { errors?: unknown };
type Compile = (part: unknown) => Check;
export type BuildValidators = ReturnType<typeof AjvCompiler>;

/** For Fastify's `schemaController`; what it makes checks as Fastify's own does. */
export const buildLazyValidators = ((schemas, settings) => {
  let compiler: Compile | undefined;
  const compile: Compile = (part) => {
    let check: Check | undefined;
    const checkLazily: Check = (...words) => {
      compiler ??= AjvCompiler()(schemas, settings) as unknown as Compile;
      check ??= compiler(part);
      const isValid = check(...words);
      checkLazily.errors = check.errors;
      return isValid;
    };
    // By this Fastify tells a function of Ajv's: it says where the checked value lies, so that Ajv can convert it.
    return Object.assign(checkLazily, { schemaEnv: true });
  };
  return compile;
}) as BuildValidators;
