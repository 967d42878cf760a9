/** Program: describes the WebGPU adapter that the package `webgpu` finds. */
const marker = "ashlar-probe:"

const tell = (answer: unknown): void => {
  // Leaves at once: a driver may hang while it is torn down.
  process.stdout.write(`\n${marker}${JSON.stringify(answer)}\n`, () => process.exit(0))
}

try {
  const { create } = await import("webgpu")
  const adapter = await create([]).requestAdapter({ powerPreference: "high-performance" })
  if (adapter === null) tell({ why: "no adapter; install a Vulkan, Metal or D3D12 driver" })
  else {
    const { vendor, architecture, device, description } = adapter.info
    tell({
      name: description || [vendor, architecture, device].filter(Boolean).join(" ") || "WebGPU",
      features: [...adapter.features].map(String).sort(),
      maxBufferSize: adapter.limits.maxBufferSize,
    })
  }
} catch (cause) {
  const missing =
    typeof cause === "object" && cause !== null && "code" in cause
      ? cause.code === "ERR_MODULE_NOT_FOUND"
      : false
  tell({
    why: missing
      ? "the package webgpu is not installed; npm install webgpu"
      : String(cause).slice(0, 300),
  })
}
