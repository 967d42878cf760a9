/**
 * What components share: sizes, effects that load, and windows of long lists.
 *
 * @module
 */
import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  type VirtualItem,
  Virtualizer,
} from "@tanstack/virtual-core"
import type { RefObject } from "preact"
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks"

/** What a load has come to. */
export interface Loaded<A> {
  readonly value: A | undefined
  readonly error: Error | undefined
  readonly loading: boolean
}

/**
 * Loads again when `key` changes; the last value stays until the next is there, and a load that was
 * overtaken is aborted.
 */
export const useLoad = <A>(
  key: string | undefined,
  load: (signal: AbortSignal) => Promise<A>,
): Loaded<A> => {
  const [state, set] = useState<Loaded<A>>({ value: undefined, error: undefined, loading: true })
  const latest = useRef(load)
  latest.current = load
  useEffect(() => {
    if (key === undefined) {
      set({ value: undefined, error: undefined, loading: false })
      return undefined
    }
    const controller = new AbortController()
    set((before) => ({ ...before, loading: true }))
    latest.current(controller.signal).then(
      (value) => {
        if (!controller.signal.aborted) set({ value, error: undefined, loading: false })
      },
      (error: unknown) => {
        if (controller.signal.aborted) return
        const shown = error instanceof Error ? error : new Error(String(error))
        set((before) => ({ value: before.value, error: shown, loading: false }))
      },
    )
    return () => controller.abort()
  }, [key])
  return state
}

/** Width and height of an element in CSS pixels; 0 before it is laid out. */
export const useSize = (
  ref: RefObject<HTMLElement | null>,
): { readonly width: number; readonly height: number } => {
  const [size, set] = useState({ width: 0, height: 0 })
  useLayoutEffect(() => {
    const element = ref.current
    if (element === null) return undefined
    const measure = () => {
      const width = element.clientWidth
      const height = element.clientHeight
      set((before) =>
        before.width === width && before.height === height ? before : { width, height },
      )
    }
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return size
}

/** A value that follows another after it has rested. */
export const useRested = <A>(value: A, ms: number): A => {
  const [rested, set] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => set(() => value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return rested
}

/** A part of a long list that is in view. */
export interface Windowed {
  readonly items: ReadonlyArray<VirtualItem>
  readonly total: number
  readonly scrollTo: (index: number) => void
}

/** The items of a list that are in view in a scrolling element, with a few around them. */
export const useWindow = (options: {
  readonly ref: RefObject<HTMLElement | null>
  readonly count: number
  readonly size: (index: number) => number
  /** Another value when sizes change. */
  readonly sizes?: unknown
  readonly horizontal?: boolean
  readonly overscan?: number
}): Windowed => {
  const { ref, count, size, horizontal = false, overscan = 6 } = options
  const [, redraw] = useReducer<number, undefined>((n) => n + 1, 0)
  const settings = {
    count,
    getScrollElement: () => ref.current,
    estimateSize: size,
    horizontal,
    overscan,
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    onChange: () => redraw(undefined),
  }
  const held = useRef<Virtualizer<HTMLElement, HTMLElement>>(undefined)
  held.current ??= new Virtualizer<HTMLElement, HTMLElement>(settings)
  const virtualizer = held.current
  virtualizer.setOptions(settings)
  useLayoutEffect(() => virtualizer._didMount(), [])
  useLayoutEffect(() => virtualizer._willUpdate())
  const known = useRef(options.sizes)
  if (known.current !== options.sizes) {
    known.current = options.sizes
    virtualizer.measure()
  }
  return {
    items: virtualizer.getVirtualItems(),
    total: virtualizer.getTotalSize(),
    scrollTo: (index) => virtualizer.scrollToIndex(index, { align: "auto" }),
  }
}
