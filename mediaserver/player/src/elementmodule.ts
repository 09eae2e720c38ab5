/** The entry point of the npm package. A bundled script does not come from its server, which the attribute `server` names. */
import { StreamPairElement, define } from "./element.ts";

define(undefined);
export { StreamPairElement };
