import { type Case, del, type Family, get, post } from "../cases.ts"

const set = (name: string, alias: unknown, version: unknown = "1"): Case =>
  post(name, "registered-models/alias", { name: "al-one", alias, version })

const at = (name: string, alias: string): Case =>
  get(name, "registered-models/alias", { name: "al-one", alias })

/** Aliases of model versions. */
export const aliases: Family = {
  name: "aliases",
  cases: [
    post("model", "registered-models/create", { name: "al-one" }),
    post("version 1", "model-versions/create", { name: "al-one", source: "s3://bucket/1" }),
    post("version 2", "model-versions/create", { name: "al-one", source: "s3://bucket/2" }),
    set("set", "baseline"),
    set("set another", "candidate", "2"),
    at("get", "baseline"),
    set("move", "baseline", "2"),
    at("moved", "baseline"),
    get("version with aliases", "model-versions/get", { name: "al-one", version: "2" }),
    get("model with aliases", "registered-models/get", { name: "al-one" }),
    get("search with aliases", "registered-models/search", { filter: "name = 'al-one'" }),
    get("search versions with aliases", "model-versions/search", { filter: "name = 'al-one'" }),
    set("unknown version", "x", "99"),
    set("word as version", "x", "two"),
    set("number as version", "x", 1),
    set("without version", "x", undefined),
    set("without alias", undefined),
    set("empty alias", ""),
    set("reserved latest", "latest"),
    set("reserved Latest", "LaTest"),
    set("reserved number", "v3"),
    set("reserved upper number", "V10"),
    set("not reserved", "v3a"),
    set("alias with space", "a b"),
    set("alias with slash", "a/b"),
    set("alias with dot", "a.b"),
    set("alias with umlaut", "größe"),
    set("alias too long", "a".repeat(256)),
    set("alias longest", "a".repeat(255)),
    post("unknown model", "registered-models/alias", {
      name: "al-nobody",
      alias: "x",
      version: "1",
    }),
    at("get unknown", "nobody"),
    get("get of unknown model", "registered-models/alias", { name: "al-nobody", alias: "x" }),
    get("get without alias", "registered-models/alias", { name: "al-one" }),
    del("delete", "registered-models/alias", { name: "al-one", alias: "candidate" }),
    at("deleted", "candidate"),
    del("delete again", "registered-models/alias", { name: "al-one", alias: "candidate" }),
    del("delete of unknown model", "registered-models/alias", { name: "al-nobody", alias: "x" }),
    del("delete without alias", "registered-models/alias", { name: "al-one" }),
    del("delete version", "model-versions/delete", { name: "al-one", version: "2" }),
    at("alias of deleted version", "baseline"),
    get("model after deletion", "registered-models/get", { name: "al-one" }),
  ],
}
