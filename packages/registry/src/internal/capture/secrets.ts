/**
 * What looks like a secret: by the name it goes by, by its form, and by being the value of an
 * environment variable that has such a name.
 */

/** Stands where a secret stood. */
export const redacted = "[redacted]"

const secretName =
  /pass(?:wd|word|phrase)|pwd$|secret|token(?!iz)|api[_-]?key|access[_-]?key|private[_-]?key|credential|auth(?!or)|cookie|session(?!_?dir)|bearer|dsn$|conn(?:ection)?[_-]?str|signing|salt$|_key$|-key$|^key$/i

/** Forms that tokens of well-known services have. */
const forms: ReadonlyArray<RegExp> = [
  /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----/,
  /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/,
  /\bgh[pousr]_[A-Za-z0-9]{36,255}/,
  /\bgithub_pat_[A-Za-z0-9_]{22,255}/,
  /\bglpat-[\w-]{20,100}/,
  /\bxox[abeoprs]-[\w-]{10,200}/,
  /\b(?:sk-|[sr]k_(?:live|test)_)(?=[\w-]{0,200}\d)[\w-]{20,200}/,
  /\bAIza[0-9A-Za-z_-]{35}/,
  /\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{5,2000}/,
  /\bhf_[A-Za-z0-9]{30,100}/,
  /\bnpm_[A-Za-z0-9]{36}/,
  /\bpypi-AgEI[\w-]{20,500}/,
  /\bdapi[0-9a-f]{32}/,
  /\b(?:Bearer|Basic)\s+(?=[\w+/=.~-]{0,4000}\d)[\w+/=.~-]{16,4000}/i,
  /(?<=:\/\/[^\s/:@'"]{0,200}:)[^\s/@'"]{1,500}(?=@)/,
]

/** `password = "..."` with a value that has letters and digits. */
const assigned =
  /(?:password|passwd|secret|token|api_?key|access_?key)["']?\s{0,5}[:=]{1,2}\s{0,5}["'](?=[^"'\s]{0,200}\d)(?=[^"'\s]{0,200}[A-Za-z])[^"'\s]{12,500}["']/i

const secretFile =
  /(?:^|\/)(?:\.env(?:\.(?!example$|sample$|template$)[^/]+)?|\.netrc|_netrc|\.pgpass|\.npmrc|\.yarnrc\.yml|\.pypirc|\.htpasswd|\.git-credentials|id_(?:rsa|dsa|ecdsa|ed25519)|credentials(?:\.(?:json|ya?ml|toml|ini))?|[^/]*service[-_]?account[^/]*\.json|secrets?\.(?:json|ya?ml|toml|ini|env)|[^/]+\.(?:pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc))$/i

/** True for names that variables, flags and fields with secrets have. */
export const isSecretName = (name: string): boolean => secretName.test(name)

/** True for names of files that hold secrets. */
export const isSecretFile = (path: string): boolean => secretFile.test(path)

/** Finds and replaces secrets, those of one process among them. */
export interface Secrets {
  /** The text without its secrets. */
  readonly redact: (text: string) => string
  /** True where a file's bytes hold one. */
  readonly isIn: (bytes: Uint8Array) => boolean
}

/** Short values would be found everywhere. */
const shortest = 8

/** Knows the secrets of an environment. */
export const secretsOf = (env: Readonly<Record<string, string | undefined>>): Secrets => {
  const values = Object.entries(env)
    .flatMap(([name, value = ""]) =>
      isSecretName(name) && value.length >= shortest && !/^(?:\/|\d+$)/.test(value) ? [value] : [],
    )
    .toSorted((a, b) => b.length - a.length)
  const everywhere = forms.map((form) => new RegExp(form, `${form.flags}g`))
  return {
    redact: (text) => {
      let left = text
      for (const value of values) left = left.replaceAll(value, redacted)
      for (const form of everywhere) left = left.replaceAll(form, redacted)
      return left
    },
    isIn: (bytes) => {
      const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
      return (
        values.some((value) => text.includes(Buffer.from(value).toString("latin1"))) ||
        forms.some((form) => form.test(text)) ||
        assigned.test(text)
      )
    },
  }
}

/** A command line without secrets: `--token x`, `--token=x`, `TOKEN=x`, and their forms. */
export const redactArguments = (
  args: ReadonlyArray<string>,
  secrets: Secrets,
): ReadonlyArray<string> =>
  args.map((arg, at) => {
    const before = args[at - 1] ?? ""
    if (/^--?[\w-]+$/.test(before) && isSecretName(before) && !arg.startsWith("-")) return redacted
    const [, name, value] = /^(-{0,2}[\w.-]+)=([\s\S]*)$/.exec(arg) ?? []
    if (name !== undefined && value !== undefined && isSecretName(name))
      return `${name}=${redacted}`
    return secrets.redact(arg)
  })

/** Variables that change what a program computes. */
const telling =
  /^(?:NODE_(?:ENV|OPTIONS|VERSION)|UV_THREADPOOL_SIZE|LANG|LC_[A-Z]+|TZ|CI|(?:OMP|MKL|OPENBLAS|NUMEXPR|VECLIB)_[A-Z_]+|CUDA_[A-Z_]+|NVIDIA_[A-Z_]+|CUBLAS_[A-Z_]+|ORT_[A-Z_]+|TF_[A-Z_]+|XLA_[A-Z_]+|(?:TORCH|PYTORCH)_[A-Z_]+|NCCL_[A-Z_]+|PYTHON(?:HASHSEED|PATH|OPTIMIZE|UTF8)|VIRTUAL_ENV|CONDA_DEFAULT_ENV|TOKENIZERS_PARALLELISM|SLURM_(?:JOB_ID|NTASKS|PROCID|NNODES|CPUS_PER_TASK)|RANK|WORLD_SIZE|LOCAL_RANK|ASHLAR_[A-Z_]+|MLFLOW_[A-Z_]+)$/

/** The environment worth recording: names from a list, no secrets. */
export const redactEnvironment = (
  env: Readonly<Record<string, string | undefined>>,
  secrets: Secrets,
  allow: ReadonlyArray<string> = [],
): Readonly<Record<string, string>> => {
  const allowed = new Set(allow)
  return Object.fromEntries(
    Object.entries(env)
      .filter(([name]) => telling.test(name) || allowed.has(name))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value = ""]) => [
        name,
        isSecretName(name) ? redacted : secrets.redact(value).slice(0, 2000),
      ]),
  )
}
