"""A completions server on loopback around the real 135M model, which fails when it is told to."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import Counter, deque

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse


class CompletionServer:
    """Answers from whole fp32 forward passes, one prompt at a time, each prompt computed once.

    ``trouble`` holds what to do with the next requests instead of answering; ``answers`` is how
    many requests are answered at all, those behind them wait; ``shape`` is that of the logprobs;
    ``spoil`` changes them, given the temperature that was asked for; ``usage`` is what is said.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self._logprobs = {}
        self.reset()
        app = FastAPI()
        app.post("/v1/completions")(self.complete)
        config = uvicorn.Config(
            app, port=0, log_level="critical", ws="none", lifespan="off", timeout_keep_alive=60
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def reset(self):
        self.trouble, self.shape, self.pause = deque(), "openai", 0.0
        self.answers = math.inf
        self.spoil, self.usage = None, lambda tokens: {"total_tokens": tokens}
        self.requests, self.tokens, self.under_way, self.most_under_way = 0, 0, 0, 0
        self.models, self.prompts, self.headers = Counter(), [], []

    def base(self, query=""):
        return f"http://127.0.0.1:{self.port}/v1{query}#smol"

    def close(self):
        self._server.should_exit = True
        self._thread.join()

    async def complete(self, request: Request) -> Response:
        self.requests += 1
        number = self.requests
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            while number > self.answers:
                await asyncio.sleep(0.01)
            return await self._complete(await request.json(), request.headers)
        finally:
            self.under_way -= 1

    async def _complete(self, body, headers) -> Response:
        self.headers.append(headers)
        await asyncio.sleep(self.pause)
        trouble = self.trouble.popleft() if self.trouble else None
        if trouble == "hang":
            await asyncio.sleep(3.0)
            return Response(status_code=504)
        if trouble == "malformed":
            return Response('{"choices": [{"logpr', media_type="application/json")
        if trouble == "empty":
            return JSONResponse({"choices": [{"text": " A", "logprobs": None}]})
        if isinstance(trouble, int):
            return JSONResponse({"error": "injected"}, trouble, {"Retry-After": "0"})
        self.models[body["model"]] += 1
        self.prompts.append(body["prompt"])
        prompt = body["prompt"]
        if body.get("echo"):
            return JSONResponse(self._echoed(prompt, bool(body.get("return_tokens_as_token_ids"))))
        text = isinstance(prompt, str)
        ids = tuple(self.tokenizer(prompt).input_ids if text else prompt)
        self.tokens += len(ids) + 1
        logprobs = self.logprobs(ids)
        if self.spoil:
            logprobs = self.spoil(logprobs, body["temperature"])
        top = logprobs.topk(body["logprobs"])
        pairs = list(zip(top.indices.tolist(), top.values.tolist(), strict=True))
        usage = self.usage(len(ids) + 1)
        if self.shape == "llama.cpp":
            entries = [
                {"id": n, "token": self.tokenizer.decode([n]), "logprob": value}
                for n, value in pairs
            ]
            logprobs = {"content": [{**entries[0], "top_logprobs": entries}]}
        elif body.get("return_tokens_as_token_ids"):
            logprobs = {"top_logprobs": [{f"token_id:{n}": value for n, value in pairs}]}
        else:
            logprobs = {"top_logprobs": [{self.tokenizer.decode([n]): v for n, v in pairs}]}
        content = {"choices": [{"logprobs": logprobs}], "usage": usage}
        # Not JSONResponse, which refuses the -Infinity that some servers write.
        return Response(json.dumps(content), media_type="application/json")

    def _echoed(self, prompts, as_ids):
        """Return what vLLM does: every prompt's own tokens and the one generated, from the last."""
        choices, total = [], 0
        for index, prompt in enumerate(prompts):
            ids = self.tokenizer(prompt).input_ids if isinstance(prompt, str) else prompt
            before, after = self._last_logprobs(tuple(ids))
            whole = [*ids, int(after.argmax())]
            # Nobody here reads what the tokens before the ending were worth.
            values = [None] * (len(ids) - 1) + [float(before[ids[-1]]), float(after.max())]
            tokens = [f"token_id:{n}" if as_ids else self.tokenizer.decode([n]) for n in whole]
            if self.shape == "no echo":
                tokens, values = tokens[-1:], values[-1:]
            logprobs = {"tokens": tokens, "token_logprobs": values}
            choices.append({"index": index, "logprobs": logprobs})
            total += len(whole)
        self.tokens += total
        return {"choices": choices[::-1], "usage": {"total_tokens": total}}

    def logprobs(self, ids):
        """Return log probabilities of the next token, float32[vocabulary]."""
        return self._last_logprobs(ids)[-1]

    def _last_logprobs(self, ids):
        """Return log probabilities of the prompt's last token and of the next: [2, vocabulary]."""
        if ids not in self._logprobs:
            with torch.inference_mode():
                logits = self.model(torch.tensor([ids]), logits_to_keep=2).logits[0]
            self._logprobs[ids] = logits.log_softmax(1)
        return self._logprobs[ids]
