import { Alert, Button } from "@ashlar/core/ui/index.ts"
import { useState } from "preact/hooks"
import { api, session } from "./client.ts"

/** Asks for a token and keeps it for this tab. */
export const Login = ({ onDone }: { readonly onDone: () => void }) => {
  const [token, setToken] = useState("")
  const [error, setError] = useState<string>()
  const submit = async () => {
    session.token = token.trim()
    try {
      await api.models()
      onDone()
    } catch (failure) {
      session.token = null
      setError(failure instanceof Error ? failure.message : "the server was not reached")
    }
  }
  return (
    <div class="login">
      <form
        class="k-card"
        onSubmit={(event) => {
          event.preventDefault()
          void submit()
        }}
      >
        <h1>Sign in</h1>
        <p class="k-quiet">This server asks for an API token. It is kept until this tab closes.</p>
        <label for="token">Token</label>
        <input
          id="token"
          class="k-input"
          type="password"
          autocomplete="off"
          required
          autofocus
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        {error === undefined ? null : <Alert>{error}</Alert>}
        <Button kind="primary" type="submit">
          Sign in
        </Button>
      </form>
    </div>
  )
}
