import type { DataType } from "@ashlar/core"

/** Loads a model inside a worker; a backend module exports it as `open`. */
export type Open = (file: string, options: OpenOptions) => Promise<OpenedModel>

/** What a backend may use. */
export interface OpenOptions {
  /** CPU threads of one run; default 1. */
  readonly threads: number
}

/** A loaded model inside a worker. */
export interface OpenedModel {
  readonly run: (
    inputs: Readonly<Record<string, DataType.Tensor>>,
    outputs: ReadonlyArray<string> | undefined,
  ) => Promise<Readonly<Record<string, DataType.Tensor>>>
  readonly close: () => Promise<void>
}

/** What a worker is started with. */
export interface WorkerData {
  /** URL of the backend module. */
  readonly backend: string
  readonly file: string
  readonly options: OpenOptions
  /** Most megabytes of JavaScript heap; default Node's. */
  readonly heapMb?: number
}

/** A request to a worker. */
export interface RunMessage {
  readonly id: number
  readonly inputs: Readonly<Record<string, DataType.Tensor>>
  readonly outputs?: ReadonlyArray<string>
}

/** What a worker answers; the message without `id` says that the model is loaded. */
export type WorkerMessage =
  | { readonly type: "opened" }
  | { readonly type: "refused"; readonly message: string }
  | {
      readonly type: "done"
      readonly id: number
      readonly outputs: Readonly<Record<string, DataType.Tensor>>
      readonly micros: number
    }
  | { readonly type: "failed"; readonly id: number; readonly message: string }
