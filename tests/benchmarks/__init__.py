"""`sequence bench`: what each stage takes, beside what people would run instead, in one run on one machine.

What is compared goes round robin, because the same program varies by half within minutes on a shared machine: only
ratios of one run mean anything. Broker and engine are the real ones of the local stack.
"""
