import {
  type Case,
  del,
  experiment,
  type Extra,
  type Family,
  get,
  post,
  put,
  run,
} from "../cases.ts"

const proxy = "/api/2.0/mlflow-artifacts/artifacts"
const files = `${proxy}/{{exp}}/{{run}}/artifacts`

const upload = (name: string, path: string, text: string): Case =>
  put(name, path, undefined, {
    raw: text,
    headers: { "content-type": "application/octet-stream" },
  })

const shown: Extra = {
  compared: ["content-type", "content-disposition", "x-content-type-options", "content-length"],
}

const list = (name: string, path?: string): Case =>
  get(
    name,
    "artifacts/list",
    path === undefined ? { run_id: "{{run}}" } : { run_id: "{{run}}", path },
  )

/** Files: the proxy, the lists, what must not be reached. */
export const artifacts: Family = {
  name: "artifacts",
  cases: [
    experiment("a-artifacts"),
    run("files", "run"),
    list("empty list"),
    upload("upload", `${files}/note.txt`, "hello"),
    upload("upload below", `${files}/model/MLmodel`, "flavors: {}\n"),
    upload("upload deeper", `${files}/model/data/weights.bin`, "0123456789"),
    upload("upload empty", `${files}/empty.txt`, ""),
    upload("upload over", `${files}/note.txt`, "hello again"),
    upload("upload with space", `${files}/with%20space.txt`, "space"),
    upload("upload html", `${files}/page.html`, "<script>alert(1)</script>"),
    upload("upload umlaut", `${files}/gr%C3%B6%C3%9Fe.json`, "{}"),
    list("list"),
    list("list below", "model"),
    list("list deeper", "model/data"),
    list("list of file", "note.txt"),
    list("list of nothing", "nothing"),
    list("list outside", "../x"),
    list("list absolute", "/etc"),
    list("list outside encoded", "%2e%2e/x"),
    get("list without run", "artifacts/list"),
    get("list of unknown run", "artifacts/list", { run_id: "0123456789abcdef0123456789abcdef" }),
    get("download", `${files}/note.txt`, {}, shown),
    get("download empty", `${files}/empty.txt`, {}, shown),
    get("download html", `${files}/page.html`, {}, shown),
    get("download with space", `${files}/with%20space.txt`, {}, shown),
    get("download deeper", `${files}/model/data/weights.bin`, {}, shown),
    get("download nothing", `${files}/nothing.txt`),
    get("download directory", `${files}/model`),
    get("download outside", `${proxy}/../../../etc/passwd`),
    get("download outside encoded", `${proxy}/%2e%2e/%2e%2e/etc/passwd`),
    get("download outside twice encoded", `${proxy}/%252e%252e/%252e%252e/etc/passwd`),
    get("download outside by backslash", `${proxy}/..%5C..%5Cetc`),
    get("download absolute", `${proxy}//etc/passwd`),
    get("download NUL", `${proxy}/a%00b`),
    get("download file uri", `${proxy}/file:///etc/passwd`),
    upload("upload outside", `${proxy}/../x`, "x"),
    upload("upload outside encoded", `${proxy}/a/%2e%2e/%2e%2e/x`, "x"),
    get("proxy list", proxy, { path: "{{exp}}/{{run}}/artifacts" }),
    get("proxy list below", proxy, { path: "{{exp}}/{{run}}/artifacts/model" }),
    get("proxy list of nothing", proxy, { path: "{{exp}}/nothing" }),
    get("proxy list outside", proxy, { path: "../.." }),
    get("get artifact", "/get-artifact", { run_id: "{{run}}", path: "note.txt" }, shown),
    get("get artifact html", "/get-artifact", { run_id: "{{run}}", path: "page.html" }, shown),
    get("get artifact of nothing", "/get-artifact", { run_id: "{{run}}", path: "nothing" }),
    get("get artifact outside", "/get-artifact", { run_id: "{{run}}", path: "../../x" }),
    get("get artifact without path", "/get-artifact", { run_id: "{{run}}" }),
    get("get artifact of unknown run", "/get-artifact", {
      run_id: "0123456789abcdef0123456789abcdef",
      path: "x",
    }),
    post("model", "registered-models/create", { name: "ar-model" }),
    post("version", "model-versions/create", {
      name: "ar-model",
      source: "mlflow-artifacts:/{{exp}}/{{run}}/artifacts/model",
      run_id: "{{run}}",
    }),
    get(
      "get model artifact",
      "/model-versions/get-artifact",
      { name: "ar-model", version: "1", path: "MLmodel" },
      shown,
    ),
    get("get model artifact of nothing", "/model-versions/get-artifact", {
      name: "ar-model",
      version: "1",
      path: "nothing",
    }),
    post(
      "ajax upload",
      "/ajax-api/2.0/mlflow/upload-artifact?run_uuid={{run}}&path=ajax/file.txt",
      undefined,
      { raw: "by ajax", headers: { "content-type": "text/plain" } },
    ),
    post(
      "ajax upload without path",
      "/ajax-api/2.0/mlflow/upload-artifact?run_uuid={{run}}",
      undefined,
      { raw: "x", headers: { "content-type": "text/plain" } },
    ),
    post("ajax upload without run", "/ajax-api/2.0/mlflow/upload-artifact?path=x", undefined, {
      raw: "x",
      headers: { "content-type": "text/plain" },
    }),
    post(
      "ajax upload outside",
      "/ajax-api/2.0/mlflow/upload-artifact?run_uuid={{run}}&path=../x",
      undefined,
      { raw: "x", headers: { "content-type": "text/plain" } },
    ),
    list("list with ajax", "ajax"),
    post("multipart", "/api/2.0/mlflow-artifacts/mpu/create/{{exp}}/{{run}}/artifacts/big", {
      path: "big",
      num_parts: 2,
    }),
    post("presigned upload without target", "artifacts/presigned-upload-url", { path: "x" }),
    post("presigned download without run", "artifacts/presigned-download-url", { path: "x" }),
    del("delete", `${files}/note.txt`),
    get("deleted", `${files}/note.txt`),
    del("delete tree", `${files}/model`),
    list("list after deletion"),
    del("delete nothing", `${files}/nothing.txt`),
    del("delete outside", `${proxy}/..%2f..%2fx`),
  ],
}
