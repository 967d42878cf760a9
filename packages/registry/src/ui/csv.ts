/** A table out of comma- or tab-separated text (RFC 4180), at most `limit` rows. */
export const parseTable = (
  text: string,
  separator: "," | "\t",
  limit: number,
): ReadonlyArray<ReadonlyArray<string>> => {
  const rows: Array<Array<string>> = []
  let row: Array<string> = []
  let field = ""
  let isQuoted = false
  const endField = () => {
    row.push(field)
    field = ""
  }
  const endRow = () => {
    endField()
    rows.push(row)
    row = []
  }
  for (let i = 0; i < text.length && rows.length < limit; i++) {
    const char = text[i]
    if (isQuoted) {
      if (char !== '"') field += char
      else if (text[i + 1] === '"') {
        field += '"'
        i += 1
      } else isQuoted = false
    } else if (char === '"' && field === "") isQuoted = true
    else if (char === separator) endField()
    else if (char === "\n") endRow()
    else if (char !== "\r") field += char
  }
  if (rows.length < limit && (field !== "" || row.length > 0)) endRow()
  return rows
}
