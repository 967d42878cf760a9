import { useEffect, useState } from "preact/hooks"

/** Where the user is: everything a page shows follows from it, so that its address can be shared. */
export interface Place {
  /** Path behind the `#`, e.g. `/runs`. */
  readonly path: string
  readonly params: URLSearchParams
}

const read = (): Place => {
  const [path = "", search = ""] = location.hash.slice(1).split("?", 2)
  return { path: path === "" ? "/runs" : path, params: new URLSearchParams(search) }
}

const changed = "ashlar-place"

/** Changes of parameters; `undefined` and the empty text remove one. */
export type Changes = Readonly<Record<string, string | undefined>>

const hashOf = (path: string, params: URLSearchParams): string => {
  const text = params.toString()
  return text === "" ? `#${path}` : `#${path}?${text}`
}

/** The address of a page. */
export const href = (path: string, params: Readonly<Record<string, string>> = {}): string =>
  hashOf(path, new URLSearchParams(params))

/** Goes to a page. */
export const go = (path: string, params: Readonly<Record<string, string>> = {}): void => {
  history.pushState(null, "", href(path, params))
  dispatchEvent(new Event(changed))
}

/** Changes parameters of the page; small changes replace the entry in the browser's history. */
export const change = (changes: Changes, options: { readonly push?: boolean } = {}): void => {
  const { path, params } = read()
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined || value === "") params.delete(key)
    else params.set(key, value)
  }
  const hash = hashOf(path, params)
  if (hash === location.hash) return
  if (options.push === true) history.pushState(null, "", hash)
  else history.replaceState(null, "", hash)
  dispatchEvent(new Event(changed))
}

/** Where the user is, now and whenever that changes. */
export const usePlace = (): Place => {
  const [place, set] = useState(read)
  useEffect(() => {
    const update = () => set(read())
    for (const name of [changed, "hashchange", "popstate"]) addEventListener(name, update)
    return () => {
      for (const name of [changed, "hashchange", "popstate"]) removeEventListener(name, update)
    }
  }, [])
  return place
}

/** Ranges by name in a parameter; what is none is left out. */
export const rangesOf = (
  params: URLSearchParams,
  key: string,
): Readonly<Record<string, readonly [low: number, high: number]>> => {
  try {
    const value: unknown = JSON.parse(params.get(key) ?? "{}")
    if (typeof value !== "object" || value === null) return {}
    return Object.fromEntries(
      Object.entries(value).flatMap(([id, range]: [string, unknown]) =>
        Array.isArray(range) && Number.isFinite(range[0]) && Number.isFinite(range[1])
          ? [[id, [Number(range[0]), Number(range[1])] as const]]
          : [],
      ),
    )
  } catch {
    return {}
  }
}

/** Ranges as a parameter. */
export const rangesText = (
  ranges: Readonly<Record<string, readonly [low: number, high: number] | undefined>>,
): string | undefined => {
  const there = Object.entries(ranges).filter(([, range]) => range !== undefined)
  return there.length === 0 ? undefined : JSON.stringify(Object.fromEntries(there))
}

const separator = ","

/** A list in a parameter. */
export const listOf = (params: URLSearchParams, key: string): ReadonlyArray<string> => {
  const text = params.get(key) ?? ""
  return text === "" ? [] : text.split(separator).map(decodeURIComponent)
}

/** A list as a parameter. */
export const listText = (items: ReadonlyArray<string>): string =>
  items.map(encodeURIComponent).join(separator)
