/**
 * What people answered: sparse (task, worker, label) triplets, any number of workers a task.
 *
 * @module
 */

/** One answer of one worker. */
export interface Annotation {
  readonly task: string
  readonly worker: string
  readonly label: string
}

/** Answers with names replaced by indices; answer `i` is `(task[i], worker[i], label[i])`. */
export interface Annotations {
  readonly tasks: ReadonlyArray<string>
  readonly workers: ReadonlyArray<string>
  readonly classes: ReadonlyArray<string>
  readonly task: Int32Array
  readonly worker: Int32Array
  readonly label: Int32Array
}

/**
 * Indexes answers; a worker may answer a task more than once. Classes are in the order given, or of
 * first use. Throws a `RangeError` for a label outside the given classes.
 *
 * @example
 * ```ts
 * import { Annotations } from "@ashlar/labeling"
 *
 * const annotations = Annotations.make([
 *   { task: "t1", worker: "ada", label: "cat" },
 *   { task: "t1", worker: "bob", label: "dog" },
 * ])
 * annotations.classes // => ["cat", "dog"]
 * Annotations.shares(annotations) // => Float64Array.of(0.5, 0.5)
 * ```
 */
export const make = (rows: Iterable<Annotation>, classes?: ReadonlyArray<string>): Annotations => {
  const tasks = new Map<string, number>()
  const workers = new Map<string, number>()
  const labels = new Map(classes?.map((name, k) => [name, k]))
  const task: Array<number> = []
  const worker: Array<number> = []
  const label: Array<number> = []
  for (const row of rows) {
    if (classes !== undefined && !labels.has(row.label)) {
      throw new RangeError(
        `answer ${task.length} (task ${JSON.stringify(row.task)}) is ${JSON.stringify(row.label)}: the classes are ${JSON.stringify(classes)}`,
      )
    }
    task.push(indexOf(tasks, row.task))
    worker.push(indexOf(workers, row.worker))
    label.push(indexOf(labels, row.label))
  }
  return {
    tasks: [...tasks.keys()],
    workers: [...workers.keys()],
    classes: [...labels.keys()],
    task: Int32Array.from(task),
    worker: Int32Array.from(worker),
    label: Int32Array.from(label),
  }
}

const indexOf = (names: Map<string, number>, name: string): number => {
  const known = names.get(name)
  if (known !== undefined) return known
  names.set(name, names.size)
  return names.size - 1
}

/** Checks indices that did not come from {@link make}; throws a `RangeError` naming the answer. */
export const check = (annotations: Annotations): void => {
  const { tasks, workers, classes, task, worker, label } = annotations
  if (task.length !== worker.length || task.length !== label.length) {
    throw new RangeError(
      `task, worker and label have ${task.length}, ${worker.length} and ${label.length} entries: give one of each per answer`,
    )
  }
  const parts = [
    ["task", task, tasks.length],
    ["worker", worker, workers.length],
    ["label", label, classes.length],
  ] as const
  for (const [name, values, size] of parts) {
    const wrong = values.findIndex((value) => value < 0 || value >= size)
    if (wrong >= 0) {
      throw new RangeError(
        `${name}[${wrong}] is ${values[wrong]}: give an index from 0 to ${size - 1}`,
      )
    }
  }
}

/** Answers by task and class, row-major `[tasks, classes]`. */
export const counts = (annotations: Annotations): Float64Array => {
  const { tasks, classes, task, label } = annotations
  const K = classes.length
  const result = new Float64Array(tasks.length * K)
  for (let i = 0; i < task.length; i++) {
    const cell = (task[i] as number) * K + (label[i] as number)
    result[cell] = (result[cell] as number) + 1
  }
  return result
}

/** Share of each class in each task's answers, row-major `[tasks, classes]`: majority vote. */
export const shares = (annotations: Annotations): Float64Array => {
  const K = annotations.classes.length
  const result = counts(annotations)
  for (let start = 0; start < result.length; start += K) {
    let sum = 0
    for (let k = 0; k < K; k++) sum += result[start + k] as number
    // A task nobody answered could be anything.
    for (let k = 0; k < K; k++) {
      result[start + k] = sum === 0 ? 1 / K : (result[start + k] as number) / sum
    }
  }
  return result
}

/** The most likely class of each row of `[tasks, classes]`; the first one of equals. */
export const best = (probabilities: Float64Array, classes: number): Int32Array =>
  Int32Array.from({ length: probabilities.length / classes }, (_, t) => {
    let winner = 0
    for (let k = 1; k < classes; k++) {
      const start = t * classes
      if ((probabilities[start + k] as number) > (probabilities[start + winner] as number)) {
        winner = k
      }
    }
    return winner
  })
