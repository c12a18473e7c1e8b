import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite("Models by name")
struct ModelPresetTests {
    /// The published counts, and sums by hand for those of bytes:
    /// 2 V H + H + layers (2 H + 2 H Q + 2 H K + 3 H I).
    static let counts: [(preset: ModelPreset, count: Int)] = [
        (.nano, 125_248), (.tiny, 3_033_344), (.small, 23_470_592), (.llama2With7B, 6_738_415_616),
        (.llama3With8B, 8_030_261_248), (.llama31With8B, 8_030_261_248), (.llama32With1B, 1_235_814_400),
        (.llama32With3B, 3_212_749_824), (.mistralWith7B, 7_248_023_552),
        (.nanoMixture, 205_632), (.mixtralWith8x7B, 46_702_792_704), (.qwen3With30B, 30_532_122_624),
    ]

    @Test("Presets have the sizes of the models they are named after", arguments: counts)
    func sizes(preset: ModelPreset, count: Int) throws {
        #expect(preset.configuration.parameterCount == count)
        try preset.configuration.validate()
        let text = try preset.configuration.serialized()
        #expect(try ModelConfiguration(parsing: text, file: "config.json") == preset.configuration)
    }

    @Test("Every preset is counted")
    func completeness() { #expect(Set(Self.counts.map(\.preset)) == Set(ModelPreset.allCases)) }

    @Test("A name means a preset, a path a folder, and anything else is refused with the list")
    func sources() throws {
        let folder = try TemporaryFolder()
        #expect(try ModelSource("tiny") == .preset(.tiny))
        #expect(
            try ModelSource(folder.url.path)
                == .folder(URL(fileURLWithPath: folder.url.path, isDirectory: true)))
        try Data().write(to: folder.file("file"))
        for text in ["", "Tiny", "tiny ", folder.file("absent").path, folder.file("file").path] {
            let error = #expect(throws: CheckpointError.self, "\(text)") { try ModelSource(text) }
            for preset in ModelPreset.allCases {
                #expect(error?.description.contains(preset.rawValue) == true, "\(text)")
            }
            #expect(error?.description.contains("folder with config.json") == true)
        }
    }

    @Test("A preset's weights depend on the seed alone, and a folder gives its own")
    func models() throws {
        let source = ModelSource.preset(.nano)
        func weights(_ model: CausalLanguageModel) -> [[Float]] {
            model.decoder.parameters.map(\.value.floats)
        }
        let first = try source.model(seed: 3)
        #expect(weights(first) == weights(try source.model(seed: 3)))
        #expect(weights(first) != weights(try source.model(seed: 4)))
        #expect(try source.model(seed: 3, dtype: .bf16).dtype == .bf16)
        let folder = try TemporaryFolder()
        try first.save(to: folder.file("model"))
        let loaded = try ModelSource(folder.file("model").path).model(seed: 4)
        #expect(weights(loaded) == weights(first))
        #expect(loaded.configuration == first.configuration)
    }
}
