// Trains a small model, then fine-tunes it on another text, through the package's API.

import LigerTrainer

guard CommandLine.arguments.count == 3 else {
    fatalError("usage: FineTuneExample TEXT FOLDER, a file or folder of text and a folder for the runs")
}
let (text, folder) = (CommandLine.arguments[1], CommandLine.arguments[2])

// MARK: A model to start from

var options = TrainingOptions()
options.model = "nano"
options.steps = 30
options.sequenceLength = 64
options.out = folder + "/base"
print(try TrainingRun(options).train())

// MARK: Fine-tuning

options.model = folder + "/base/final"
options.data = text
options.learningRate = 3e-4
options.out = folder + "/tuned"
options.evaluationEvery = 10
print(try TrainingRun(options).train())
