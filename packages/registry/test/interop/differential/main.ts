/**
 * Compares this registry with the real `mlflow server`, request by request:
 *
 *     node --conditions=@ashlar/source packages/registry/test/interop/differential/main.ts [family ...]
 *
 * @module
 */
import { explain, replay, table } from "./replay.ts"

const report = await replay(process.argv.slice(2))
const explanation = explain(report)
if (explanation !== "") console.log(`${explanation}\n`)
console.log(table(report))
process.exitCode = explanation === "" ? 0 : 1
