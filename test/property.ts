/** fast-check, started from the seed of this run of the tests. */
import fc from "fast-check";
import { testSeed } from "./random.ts";

fc.configureGlobal({ seed: testSeed });

export default fc;
