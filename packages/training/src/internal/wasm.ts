/**
 * The part of the WebAssembly interface we use; TypeScript has it only in its browser libraries.
 *
 * @module
 */

/** Compiled code; can be posted to another thread. */
export interface WasmModule {
  readonly brand?: "WebAssembly.Module"
}

/** A shared linear memory; can be posted to another thread. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer
}

interface Interface {
  readonly compile: (bytes: Uint8Array) => Promise<WasmModule>
  readonly Memory: new (size: { initial: number; maximum: number; shared: true }) => WasmMemory
  readonly Instance: new (
    module: WasmModule,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => { readonly exports: unknown }
}

/** The runtime's WebAssembly object. */
export const wasm = (globalThis as unknown as { readonly WebAssembly: Interface }).WebAssembly
