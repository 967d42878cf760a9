import { randomInt } from "node:crypto"

const adjectives =
  "able airy amber ample bold brave brisk calm clean clear cool crisp deft eager early fair fast fine firm fleet fond fresh glad grand great green happy keen kind light live lucky merry mild neat nice noble plain prime proud pure quick quiet rapid ready rich ripe royal sharp sleek smart soft solid sound spry still sunny sweet swift tidy true vivid warm wise witty".split(
    " ",
  )
const nouns =
  "acorn arch aspen atlas badge basin beacon birch bluff bridge brook cairn canal cedar cliff clover coast comet coral crane creek delta dune falcon fern field finch flint forge fox gable garnet glade grove gull harbor hare hazel heron hill inlet ivy jasper kite lark ledge lily linden lynx maple marten meadow moss oak otter pine quarry raven reef ridge river robin sage shore slate spruce star stone swan thrush tide trout vale wren".split(
    " ",
  )

const one = (words: ReadonlyArray<string>): string => words[randomInt(words.length)] ?? ""

/** A name to tell runs apart by, such as `brisk-heron-412`; not unique. */
export const invented = (): string => `${one(adjectives)}-${one(nouns)}-${randomInt(1001)}`
