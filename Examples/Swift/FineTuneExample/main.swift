// Trains a small model, then fine-tunes it on another text, through the package's API.

import Foundation
import LigerTrainer

func fineTune(on text: String, in folder: String) throws {
    // A model to start from, on this package's own text.
    var options = TrainingOptions()
    options.model = "nano"
    options.steps = 30
    options.sequenceLength = 64
    options.out = folder + "/base"
    print(try TrainingRun(options).train())

    options.model = folder + "/base/final"
    options.data = text
    options.learningRate = 3e-4
    options.out = folder + "/tuned"
    options.evaluationEvery = 10
    print(try TrainingRun(options).train())

    // The same once more in silence, with the metrics in our hands.
    options.out = folder + "/observed"
    var losses: [Double] = []
    let observer = TrainingObserver(showsProgress: false) { losses += [$0.loss].compactMap(\.self) }
    print(try TrainingRun(options, observer: observer).train())
    print("the loss went from \(losses.first ?? .nan) to \(losses.last ?? .nan)")
}

guard CommandLine.arguments.count == 3 else {
    print("usage: FineTuneExample TEXT FOLDER, a file or folder of text and a folder for the runs")
    exit(2)
}
do {
    try fineTune(on: CommandLine.arguments[1], in: CommandLine.arguments[2])
} catch {
    // Each error says what was wrong, what was found and what to do.
    print("error: \(error)")
    exit(1)
}
