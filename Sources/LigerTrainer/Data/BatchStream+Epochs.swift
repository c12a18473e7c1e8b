// An epoch of each kind of data: how many of what a batch counts are dealt out before any comes again.

extension TokenStream {
    package var drawsPerEpoch: Int { trainingSequences }
}

extension InstructionStream {
    package var drawsPerEpoch: Int { trainingRows }
}

extension ExampleStream {
    package var drawsPerEpoch: Int { trainingExamples }
}
